// The record of slot calls, in the order in which the kernel executes them: one lock is held around
// each call. The kernel would serialise them too.
#include "preload.h"
#include <string.h>

struct crun_record *preload_begin_record(struct preload_vm *vm) {
    static struct crun_record nowhere;
    uint64_t index = __atomic_fetch_add(&preload_header->next, 1, __ATOMIC_RELAXED);
    struct crun_record *records = (struct crun_record *)(preload_header + 1);
    struct crun_record *record = index < CRUN_RECORD_LIMIT ? &records[index] : &nowhere;
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

void preload_end_record(struct crun_record *record, uint32_t kind) {
    record->duration = preload_now() - record->start;
    if (kind == CRUN_ASKED)
        __atomic_add_fetch(
            record->result < 0 ? &preload_header->refused : &preload_header->succeeded, 1,
            __ATOMIC_RELAXED);
    __atomic_store_n(&record->kind, kind, __ATOMIC_RELEASE);
}

// Records an event without words of a call.
void preload_record_event(struct preload_vm *vm, uint32_t kind) {
    preload_end_record(preload_begin_record(vm), kind);
}

// Reads the words of a slot call from any address. Returns 0 or minus errno.
int preload_decode_region(struct crun_region *region, unsigned long request, const void *argument) {
    struct ckvm_region2 words;
    int is_second = (uint32_t)request == (uint32_t)CKVM_SET_USER_MEMORY_REGION2;
    memset(&words, 0, sizeof words);
    size_t size = is_second ? sizeof words : sizeof(struct kvm_userspace_memory_region);
    int result = cpreload_read(&words, argument, size);
    if (result < 0) return result;
    region->slot = words.slot;
    region->flags = words.flags;
    region->guest_phys_addr = words.guest_phys_addr;
    region->memory_size = words.memory_size;
    region->userspace_addr = words.userspace_addr;
    region->guest_memfd = is_second ? (int32_t)words.guest_memfd : -1;
    region->guest_memfd_offset = words.guest_memfd_offset;
    region->form = is_second ? 2 : 1;
    return 0;
}

static int64_t slot_call(const struct preload_call *call) {
    struct crun_region region;
    if (preload_decode_region(&region, call->request, call->argument) < 0) return PRELOAD_PASS;
    struct crun_record *record = preload_begin_record(call->vm);
    record->region = region;
    record->start = preload_now();
    record->result = cpreload_call(call->descriptor, call->request, call->argument);
    preload_end_record(record, CRUN_ASKED);
    return record->result;
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
    struct ckvm_region2 words;
    memset(&words, 0, sizeof words);
    words.slot = region->slot;
    words.flags = region->flags;
    words.guest_phys_addr = region->guest_phys_addr;
    words.memory_size = region->memory_size;
    words.userspace_addr = region->userspace_addr;
    words.guest_memfd = (uint32_t)region->guest_memfd;
    words.guest_memfd_offset = region->guest_memfd_offset;
    struct crun_record *record = preload_begin_record(vm);
    record->region = *region;
    vm->made++;
    uint32_t call = __atomic_add_fetch(&preload_header->made, 1, __ATOMIC_RELAXED);
    int result;
    if (PRELOAD_RARELY(call == preload_header->fault_call))
        result = -preload_header->fault_errno;
    else
        result = cpreload_call(
            vm->descriptor,
            region->form == 2 ? CKVM_SET_USER_MEMORY_REGION2 : KVM_SET_USER_MEMORY_REGION, &words);
    record->result = result;
    preload_end_record(record, CRUN_MADE);
    return result;
}

int cpreload_call(int descriptor, unsigned long request, void *argument) {
    int result = preload_real_ioctl(descriptor, request, argument);
    return result < 0 ? -errno : result;
}

int cpreload_check_extension(int descriptor, long capability) {
    return cpreload_call(descriptor, KVM_CHECK_EXTENSION, (void *)capability);
}
