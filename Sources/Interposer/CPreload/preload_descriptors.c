// Which descriptor is a VM, a vCPU, a device or a guest_memfd of one.
//
// One word for each descriptor: the kind in the upper byte, below it the index of the vCPU or of the
// VM. Most of the table is never written, so it takes no memory.
#include "preload.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t preload_descriptors[PRELOAD_DESCRIPTORS];
static uint32_t highest;

void preload_set_entry(int descriptor, enum preload_kind kind, uint32_t index) {
    if ((uint32_t)descriptor >= PRELOAD_DESCRIPTORS) return;
    if ((uint32_t)descriptor > highest) highest = (uint32_t)descriptor;
    __atomic_store_n(
        &preload_descriptors[descriptor], (uint32_t)kind << 24 | index, __ATOMIC_RELEASE);
}

struct preload_vm *preload_vm_of(uint32_t entry) {
    uint32_t index = preload_index(entry);
    int is_vcpu = preload_kind(entry) == PRELOAD_VCPU || preload_kind(entry) == PRELOAD_STATISTICS;
    return is_vcpu ? preload_vcpus[index].vm : &preload_vms[index];
}

struct preload_vm *preload_vm_numbered(uint32_t number) {
    for (struct preload_vm *vm = preload_vms; vm < preload_vms + PRELOAD_VMS; vm++)
        if (vm->is_used && vm->number == number) return vm;
    return 0;
}

static void count_untracked(void) {
    if (preload_header) __atomic_add_fetch(&preload_header->untracked, 1, __ATOMIC_RELAXED);
}

// Whether the descriptor is a VM. Another driver may have the same request number.
static int is_vm(int descriptor) {
    char path[32], name[32] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(path, name, sizeof name - 1);
    // Without /proc it is assumed to be one.
    return size < 0 || strstr(name, "kvm-vm") != 0;
}

// Records a VM with what its host offers, which its slots can't exceed.
static void record_vm(struct preload_vm *vm) {
    struct crun_record *record = preload_begin_record(vm);
    int slots = cpreload_check_extension(vm->descriptor, KVM_CAP_NR_MEMSLOTS);
    int spaces = cpreload_check_extension(vm->descriptor, KVM_CAP_MULTI_ADDRESS_SPACE);
    record->asked = slots > 0 ? (uint32_t)slots : 0;
    record->made = spaces > 0 ? (uint32_t)spaces : 1;
    record->applied = cpreload_check_extension(vm->descriptor, CKVM_CAP_GUEST_MEMFD) > 0;
    preload_end_record(record, CRUN_VM);
}

int64_t preload_add_vm(const struct preload_call *call) {
    if (!is_vm(call->descriptor)) return 0;
    uint32_t index = 0;
    while (index < PRELOAD_VMS && preload_vms[index].is_used) index++;
    if (index == PRELOAD_VMS || (uint32_t)call->descriptor >= PRELOAD_DESCRIPTORS) {
        count_untracked();
        return 0;
    }
    struct preload_vm *vm = &preload_vms[index];
    memset(vm, 0, sizeof *vm);
    vm->is_used = 1;
    vm->references = 1;
    vm->descriptor = call->descriptor;
    vm->number = __atomic_fetch_add(&preload_header->machines, 1, __ATOMIC_RELAXED);
    preload_make_array(vm);
    record_vm(vm);
    if (preload_is_atomic) {
        vm->is_atomic = memslots_preload_opened(vm->number, call->descriptor) == 0;
        preload_start_watch();
    }
    preload_set_entry(call->descriptor, PRELOAD_VM, index);
    return 0;
}

int64_t preload_add_vcpu(const struct preload_call *call) {
    struct preload_vm *vm = call->vm;
    uint32_t index = 0;
    while (index < PRELOAD_VCPUS && preload_vcpus[index].is_used) index++;
    if (index < PRELOAD_VCPUS && (uint32_t)call->descriptor < PRELOAD_DESCRIPTORS) {
        struct preload_vcpu *vcpu = &preload_vcpus[index];
        memset(vcpu, 0, sizeof *vcpu);
        vcpu->vm = vm;
        vcpu->references = 1;
        vm->references++;
        __atomic_store_n(&vcpu->is_used, 1, __ATOMIC_RELEASE);
        if (index >= preload_vcpu_end) preload_vcpu_end = index + 1;
        vcpu->statistics = -1;
        if (vm->is_atomic) preload_open_statistics(vcpu, call->descriptor);
        preload_set_entry(call->descriptor, PRELOAD_VCPU, index);
    } else {
        count_untracked();
        // A vCPU that cannot be held would observe every hole.
        if (vm->is_atomic) cpreload_stop("more vCPUs than --atomic can hold out of the guest");
    }
    return 0;
}

void preload_adopt_descriptor(struct preload_vm *vm, enum preload_kind kind, int descriptor) {
    vm->references++;
    preload_set_entry(descriptor, kind, (uint32_t)(vm - preload_vms));
}

int64_t preload_add_device(const struct preload_call *call) {
    preload_adopt_descriptor(call->vm, PRELOAD_DEVICE, call->descriptor);
    return 0;
}

static int64_t add_copy(const struct preload_call *call) {
    uint32_t entry = preload_entry(call->descriptor);
    int copy = (int)call->request;
    if (preload_kind(entry) == PRELOAD_VCPU) preload_vcpus[preload_index(entry)].references++;
    else preload_vm_of(entry)->references++;
    // A copy of a guest_memfd is not recorded, so a slot on it is applied at once.
    if (preload_kind(entry) != PRELOAD_FILE)
        preload_set_entry(copy, preload_kind(entry), preload_index(entry));
    return 0;
}

void preload_add_copy(int descriptor, int copy) {
    if (copy == descriptor || (uint32_t)copy >= PRELOAD_DESCRIPTORS) return;
    struct preload_call call = {.descriptor = descriptor, .request = (unsigned long)copy};
    preload_locked(add_copy, &call);
}

// Uses another descriptor of the VM for its calls, if there is one.
static void choose_descriptor(struct preload_vm *vm) {
    uint32_t entry = (uint32_t)PRELOAD_VM << 24 | (uint32_t)(vm - preload_vms);
    vm->descriptor = -1;
    for (uint32_t descriptor = 0; descriptor <= highest; descriptor++)
        if (preload_descriptors[descriptor] == entry) vm->descriptor = (int)descriptor;
}

static void release_reference(struct preload_vm *vm) {
    if (--vm->references > 0) return;
    if (vm->is_atomic) memslots_preload_closed(vm->number);
    if (preload_is_live) preload_record_event(vm, CRUN_GONE);
    free(vm->regions);
    preload_free_array(vm);
    vm->is_used = 0;
}

static void close_statistics(struct preload_vcpu *vcpu) {
    if (vcpu->statistics < 0) return;
    preload_descriptors[vcpu->statistics] = 0;
    cpreload_close(vcpu->statistics);
    vcpu->statistics = -1;
}

static int64_t remove_descriptor(const struct preload_call *call) {
    int descriptor = call->descriptor;
    uint32_t entry = preload_entry(descriptor);
    if (!entry) return 0;
    struct preload_vm *vm = preload_vm_of(entry);
    if (preload_kind(entry) == PRELOAD_STATISTICS) {
        // The VMM closes what it does not know. The vCPU is waited for from now on.
        preload_vcpus[preload_index(entry)].statistics = -1;
        __atomic_store_n(&preload_descriptors[descriptor], 0, __ATOMIC_RELEASE);
        return 0;
    }
    if (vm->is_atomic && preload_kind(entry) != PRELOAD_DEVICE) {
        int64_t waits = preload_try_settle(vm, CRUN_BY_CLOSE);
        if (waits < 0) return waits;
    }
    __atomic_store_n(&preload_descriptors[descriptor], 0, __ATOMIC_RELEASE);
    if (descriptor == vm->descriptor) choose_descriptor(vm);
    if (preload_kind(entry) == PRELOAD_FILE && vm->is_atomic)
        memslots_preload_file_closed(vm->number, descriptor);
    if (preload_kind(entry) == PRELOAD_VCPU) {
        struct preload_vcpu *vcpu = &preload_vcpus[preload_index(entry)];
        if (--vcpu->references == 0) {
            close_statistics(vcpu);
            vcpu->is_used = 0;
            release_reference(vm);
        }
    } else {
        release_reference(vm);
    }
    return 0;
}

// Called before the descriptor is closed: afterwards its number may be reused.
void preload_remove_descriptor(int descriptor) {
    if (!preload_entry(descriptor) || preload_passes_through()) return;
    preload_locked(remove_descriptor, &(struct preload_call){.descriptor = descriptor});
}

void preload_remove_descriptors(unsigned first, unsigned last) {
    if (last > highest) last = highest;
    for (unsigned descriptor = first; descriptor <= last; descriptor++)
        preload_remove_descriptor((int)descriptor);
}

void preload_clear_descriptors(void) {
    for (uint32_t i = 0; i < preload_vcpu_end; i++)
        if (preload_vcpus[i].is_used) close_statistics(&preload_vcpus[i]);
    for (uint32_t descriptor = 0; descriptor <= highest; descriptor++)
        if (preload_descriptors[descriptor]) preload_descriptors[descriptor] = 0;
}
