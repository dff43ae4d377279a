// Slot calls on a VM of our own, without anything around them.
#ifndef YS_SLOTS_H
#define YS_SLOTS_H

#include <stddef.h>
#include <stdint.h>

// What KVM_SET_USER_MEMORY_REGION takes; a size of 0 deletes.
struct ys_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest;
    uint64_t size;
    uint64_t host;
};

// Opens /dev/kvm and makes a VM. Returns its descriptor, or minus errno.
int ys_vm_make(void);

void ys_close(int descriptor);

// Carries the calls out, one after the other. Returns 0, or minus the first errno.
int ys_set_regions(int vm, const struct ys_region *regions, size_t count);

#endif
