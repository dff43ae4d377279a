// A vCPU's shared page (struct kvm_run) and its dirty ring. Documentation/virt/kvm/api.rst 5, 8.29.
#ifndef CKVM_RUN_H
#define CKVM_RUN_H

#include "ckvm_definitions.h"
#include <stddef.h>
#include <string.h>

// Any thread sets it, the vCPU's thread clears it. While it is not 0, KVM_RUN returns EINTR at once.
// Sequentially consistent: the thread that sets it then reads which thread is inside KVM_RUN.
static inline void ckvm_set_immediate_exit(void *run, uint8_t value) {
    __atomic_store_n(&((struct kvm_run *)run)->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static inline uint8_t ckvm_immediate_exit(const void *run) {
    return __atomic_load_n(&((const struct kvm_run *)run)->immediate_exit, __ATOMIC_SEQ_CST);
}

static inline uint32_t ckvm_exit_reason(const void *run) {
    return ((const struct kvm_run *)run)->exit_reason;
}

// Of KVM_EXIT_MMIO.
struct ckvm_mmio {
    uint64_t address;
    uint64_t data;
    uint32_t size;
    uint8_t is_write;
};

static inline struct ckvm_mmio ckvm_mmio_exit(const void *page) {
    const struct kvm_run *run = (const struct kvm_run *)page;
    struct ckvm_mmio mmio = {
        .address = run->mmio.phys_addr, .size = run->mmio.len, .is_write = run->mmio.is_write};
    memcpy(&mmio.data, run->mmio.data, sizeof mmio.data);
    return mmio;
}

// The value of a guest's read of MMIO; the next KVM_RUN reads it.
static inline void ckvm_set_mmio_value(void *page, uint64_t data) {
    memcpy(((struct kvm_run *)page)->mmio.data, &data, sizeof data);
}

// Of KVM_EXIT_IO; `data` is the first item.
struct ckvm_port {
    uint32_t data;
    uint32_t count;
    uint16_t port;
    uint8_t size;
    uint8_t is_write;
};

static inline struct ckvm_port ckvm_port_exit(const void *page) {
    const struct kvm_run *run = (const struct kvm_run *)page;
    struct ckvm_port port = {
        .count = run->io.count, .port = run->io.port, .size = run->io.size,
        .is_write = run->io.direction == KVM_EXIT_IO_OUT};
    size_t size = run->io.size <= sizeof port.data ? run->io.size : sizeof port.data;
    memcpy(&port.data, (const char *)page + run->io.data_offset, size);
    return port;
}

// Of KVM_EXIT_INTERNAL_ERROR.
static inline uint32_t ckvm_internal_suberror(const void *run) {
    return ((const struct kvm_run *)run)->internal.suberror;
}

static inline uint32_t ckvm_internal_count(const void *run) {
    uint32_t count = ((const struct kvm_run *)run)->internal.ndata;
    return count <= 16 ? count : 16;
}

static inline uint64_t ckvm_internal_data(const void *run, uint32_t index) {
    return ((const struct kvm_run *)run)->internal.data[index & 15];
}

// Of KVM_EXIT_FAIL_ENTRY.
static inline uint64_t ckvm_entry_failure(const void *run) {
    return ((const struct kvm_run *)run)->fail_entry.hardware_entry_failure_reason;
}

// Reads entry `index` of a dirty ring and returns it to the kernel for reset. Returns 0 where it
// is not dirty. KVM_CAP_DIRTY_LOG_RING_ACQ_REL demands the acquire and the release.
static inline int ckvm_collect_dirty_entry(
    void *ring, uint32_t index, uint32_t *slot, uint64_t *offset) {
    struct kvm_dirty_gfn *entry = (struct kvm_dirty_gfn *)ring + index;
    if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != 1 /* KVM_DIRTY_GFN_F_DIRTY */)
        return 0;
    *slot = entry->slot;
    *offset = entry->offset;
    __atomic_store_n(&entry->flags, 2 /* KVM_DIRTY_GFN_F_RESET */, __ATOMIC_RELEASE);
    return 1;
}

// Whether entry `index` is dirty and not yet collected.
static inline int ckvm_is_dirty_entry(const void *ring, uint32_t index) {
    const struct kvm_dirty_gfn *entry = (const struct kvm_dirty_gfn *)ring + index;
    return __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) == 1;
}

// Returns entry `index` to the kernel, whatever it holds.
static inline void ckvm_release_dirty_entry(void *ring, uint32_t index) {
    struct kvm_dirty_gfn *entry = (struct kvm_dirty_gfn *)ring + index;
    __atomic_store_n(&entry->flags, 2, __ATOMIC_RELEASE);
}

static inline uint32_t ckvm_dirty_entry_size(void) {
    return sizeof(struct kvm_dirty_gfn);
}

#endif
