// Requests on the descriptor of a VM. Documentation/virt/kvm/api.rst, section in brackets.
#ifndef CKVM_VM_H
#define CKVM_VM_H

#include "ckvm_system.h"

// [4.35]
static inline int ckvm_set_user_memory_region(
    int vm, const struct kvm_userspace_memory_region *region) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_USER_MEMORY_REGION, region));
}

// [4.140]
static inline int ckvm_set_user_memory_region2(int vm, const struct ckvm_region2 *region) {
    return CKVM_RESULT(ioctl(vm, CKVM_SET_USER_MEMORY_REGION2, region));
}

// [4.142]
static inline int ckvm_create_guest_memfd(int vm, uint64_t size, uint64_t flags) {
    struct ckvm_guest_memfd memfd = {.size = size, .flags = flags};
    return CKVM_RESULT(ioctl(vm, CKVM_CREATE_GUEST_MEMFD, &memfd));
}

// [4.8]
static inline int ckvm_get_dirty_log(int vm, uint32_t slot, void *bitmap) {
    struct kvm_dirty_log log = {.slot = slot};
    log.dirty_bitmap = bitmap;
    return CKVM_RESULT(ioctl(vm, KVM_GET_DIRTY_LOG, &log));
}

// [4.117]
static inline int ckvm_clear_dirty_log(
    int vm, uint32_t slot, uint64_t first_page, uint32_t pages, void *bitmap) {
    struct kvm_clear_dirty_log log = {
        .slot = slot, .num_pages = pages, .first_page = first_page};
    log.dirty_bitmap = bitmap;
    return CKVM_RESULT(ioctl(vm, KVM_CLEAR_DIRTY_LOG, &log));
}

// [8.29]
static inline int ckvm_reset_dirty_rings(int vm) {
    return CKVM_RESULT(ioctl(vm, KVM_RESET_DIRTY_RINGS, 0));
}

// [4.37]
static inline int ckvm_enable_cap(int vm, uint32_t capability, uint64_t argument) {
    struct kvm_enable_cap enable = {.cap = capability, .args = {argument}};
    return CKVM_RESULT(ioctl(vm, KVM_ENABLE_CAP, &enable));
}

// [4.7]
static inline int ckvm_create_vcpu(int vm, unsigned long id) {
    return CKVM_RESULT(ioctl(vm, KVM_CREATE_VCPU, id));
}

// [4.24]
static inline int ckvm_create_irqchip(int vm) {
    return CKVM_RESULT(ioctl(vm, KVM_CREATE_IRQCHIP, 0));
}

#if defined(__x86_64__)
// [4.55]
static inline int ckvm_set_tss_addr(int vm, unsigned long address) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_TSS_ADDR, address));
}

// [4.59]
static inline int ckvm_set_identity_map_addr(int vm, uint64_t address) {
    return CKVM_RESULT(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &address));
}
#endif

#endif
