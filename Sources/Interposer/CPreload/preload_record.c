// The record of slot calls, in the order in which the kernel executes them: one lock is held around
// each call. The kernel would serialise them too.
#include "preload.h"
#include <sys/mman.h>

struct crun_record *preload_begin_record(struct preload_vm *vm) {
    uint64_t index = __atomic_fetch_add(&preload_header->next, 1, __ATOMIC_RELAXED);
    uint64_t room = crun_room(preload_header);
    struct crun_record *records = (struct crun_record *)(preload_header + 1);
    struct crun_record *record = &records[crun_place(room, index)];
    __atomic_store_n(&record->kind, crun_lap(room, index) << 8, __ATOMIC_RELAXED);
    // A reader of any word of the new record finds the old one gone.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    record->vm = vm->number;
    record->process = preload_process;
    record->thread = preload_thread();
    record->runs = preload_runs();
    uint64_t entries = 0;
    uint32_t inside = 0;
    for (uint32_t i = 0; i < preload_vcpu_end; i++) {
        if (!preload_vcpus[i].is_used || preload_vcpus[i].vm != vm) continue;
        entries += __atomic_load_n(&preload_vcpus[i].entries, __ATOMIC_RELAXED);
        inside += __atomic_load_n(&preload_vcpus[i].state, __ATOMIC_RELAXED) != 0;
    }
    record->entries = entries;
    // While the gate is closed no vCPU is inside: one that is turned back is not.
    record->inside = vm->closed ? 0 : inside;
    record->start = preload_now();
    return record;
}

// Finishes a record whose words are all there.
void preload_finish_record(struct crun_record *record, uint32_t kind) {
    __atomic_store_n(&record->kind, (record->kind & ~0xffu) | kind, __ATOMIC_RELEASE);
}

void preload_end_record(struct crun_record *record, uint32_t kind) {
    record->duration = preload_now() - record->start;
    preload_finish_record(record, kind);
}

// Records an event without words of a call.
void preload_record_event(struct preload_vm *vm, uint32_t kind) {
    preload_end_record(preload_begin_record(vm), kind);
}

// MARK: - The arrays, for a reader that lost records

// Two address spaces of the most ids that KVM gives.
#define SLOT_IDS 32768u
#define SLOTS (2 * SLOT_IDS)

void preload_make_array(struct preload_vm *vm) {
    void *slots = mmap(
        0, SLOTS * sizeof *vm->slots, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    vm->slots = slots == MAP_FAILED ? 0 : slots;
}

void preload_free_array(struct preload_vm *vm) {
    if (vm->slots) syscall(SYS_munmap, vm->slots, SLOTS * sizeof *vm->slots);
    vm->slots = 0;
}

static void record_array(struct preload_vm *vm) {
    vm->owes_array = 0;
    if (!vm->slots) return;
    struct crun_record *record = preload_begin_record(vm);
    record->asked = 0;
    for (uint32_t i = 0; i < vm->slot_end; i++) record->asked += vm->slots[i].memory_size != 0;
    preload_end_record(record, CRUN_ARRAY);
    for (uint32_t i = 0; i < vm->slot_end; i++) {
        if (vm->slots[i].memory_size == 0) continue;
        record = preload_begin_record(vm);
        record->region = vm->slots[i];
        preload_end_record(record, CRUN_SLOT);
    }
}

// With the lock held, after a call or a commit: from time to time records the array of each VM, once
// all its calls are applied. The ring always contains some of these.
void preload_record_arrays(struct preload_vm *vm) {
    static uint64_t next;
    uint64_t room = crun_room(preload_header);
    if (__atomic_load_n(&preload_header->next, __ATOMIC_RELAXED) >= (next ? next : room / 2)) {
        next = __atomic_load_n(&preload_header->next, __ATOMIC_RELAXED) + room / 16;
        for (int i = 0; i < PRELOAD_VMS; i++) preload_vms[i].owes_array = preload_vms[i].is_used;
        for (int i = 0; i < PRELOAD_VMS; i++)
            if (preload_vms[i].owes_array && !preload_vms[i].is_pending)
                record_array(&preload_vms[i]);
    }
    if (PRELOAD_RARELY(vm->owes_array) && !vm->is_pending) record_array(vm);
}

// With the lock held: the result of a call is known.
void preload_end_asked(struct preload_vm *vm, struct crun_record *record) {
    uint64_t *count = record->result < 0 ? &preload_header->refused : &preload_header->succeeded;
    __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    uint32_t slot = record->region.slot;
    uint32_t place = (slot >> 16) * SLOT_IDS + (slot & 0xffff);
    if (record->result == 0 && vm->slots && slot >> 16 < 2 && (slot & 0xffff) < SLOT_IDS) {
        vm->slots[place] = record->region;
        if (place >= vm->slot_end) vm->slot_end = place + 1;
    }
    preload_end_record(record, CRUN_ASKED);
    preload_record_arrays(vm);
}

// MARK: - Slot calls

// Reads the words of a slot call from any address. Returns 0 or minus errno.
int preload_decode_region(struct crun_region *region, unsigned long request, const void *argument) {
    struct ckvm_region2 words = {0};
    int is_second = (uint32_t)request == (uint32_t)CKVM_SET_USER_MEMORY_REGION2;
    size_t size = is_second ? sizeof words : sizeof(struct kvm_userspace_memory_region);
    int result = cpreload_read(&words, argument, size);
    if (result < 0) return result;
    *region = (struct crun_region){
        .slot = words.slot, .flags = words.flags, .guest_phys_addr = words.guest_phys_addr,
        .memory_size = words.memory_size, .userspace_addr = words.userspace_addr,
        .guest_memfd = is_second ? (int32_t)words.guest_memfd : -1,
        .guest_memfd_offset = words.guest_memfd_offset, .form = is_second ? 2 : 1};
    return 0;
}

static int call_slot(int descriptor, unsigned long request, void *argument) {
    __atomic_add_fetch(&preload_slot_changes, 1, __ATOMIC_SEQ_CST);
    int result = cpreload_call(descriptor, request, argument);
    __atomic_add_fetch(&preload_slot_changes, 1, __ATOMIC_SEQ_CST);
    return result;
}

static int64_t slot_call(const struct preload_call *call) {
    struct crun_region region;
    if (preload_decode_region(&region, call->request, call->argument) < 0) return PRELOAD_PASS;
    struct crun_record *record = preload_begin_record(call->vm);
    record->region = region;
    preload_use_memory(&region);
    record->start = preload_now();
    int result = call_slot(call->descriptor, call->request, call->argument);
    record->result = result;
    preload_end_asked(call->vm, record);
    CREADING_FIRE(memslots_run, call, call->vm->number, region.slot, -result);
    return result;
}

// Passes a slot call to the kernel, and records it.
int preload_slot_call(const struct preload_call *call) {
    int64_t result = preload_locked(slot_call, call);
    if (result == PRELOAD_PASS)
        return preload_real_ioctl(call->descriptor, call->request, call->argument);
    if (preload_is_live) preload_record_next_entry();
    return preload_result(result);
}

// With the lock held.
int cpreload_set_region(uint32_t number, const struct crun_region *region) {
    struct preload_vm *vm = preload_vm_numbered(number);
    if (!vm) return -EBADF;
    struct ckvm_region2 words = {
        .slot = region->slot, .flags = region->flags, .guest_phys_addr = region->guest_phys_addr,
        .memory_size = region->memory_size, .userspace_addr = region->userspace_addr,
        .guest_memfd = (uint32_t)region->guest_memfd,
        .guest_memfd_offset = region->guest_memfd_offset};
    struct crun_record *record = preload_begin_record(vm);
    record->region = *region;
    vm->made++;
    uint64_t call = __atomic_add_fetch(&preload_header->made, 1, __ATOMIC_RELAXED);
    int result;
    if (PRELOAD_RARELY(call == preload_header->fault_call))
        result = -preload_header->fault_errno;
    else
        result = call_slot(
            vm->descriptor,
            region->form == 2 ? CKVM_SET_USER_MEMORY_REGION2 : KVM_SET_USER_MEMORY_REGION, &words);
    record->result = result;
    preload_end_record(record, CRUN_MADE);
    CREADING_FIRE(memslots_run, call, vm->number, region->slot, -result);
    return result;
}

int cpreload_call(int descriptor, unsigned long request, void *argument) {
    int result = preload_real_ioctl(descriptor, request, argument);
    return result < 0 ? -errno : result;
}

int cpreload_check_extension(int descriptor, long capability) {
    return cpreload_call(descriptor, KVM_CHECK_EXTENSION, (void *)capability);
}
