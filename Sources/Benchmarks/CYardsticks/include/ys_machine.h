// Slot operations on a VM that only C uses.
#ifndef YS_MACHINE_H
#define YS_MACHINE_H

#include <stddef.h>
#include <stdint.h>

// The argument of KVM_SET_USER_MEMORY_REGION; a size of 0 deletes.
struct ys_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest;
    uint64_t size;
    uint64_t host;
};

// Opens /dev/kvm and creates a VM. Returns its descriptor, or minus errno.
int ys_vm_make(void);

void ys_close(int descriptor);

// Applies the regions one after the other. Returns 0, or minus the first errno.
int ys_set_regions(int vm, const struct ys_region *regions, size_t count);

// A VM with one vCPU on a thread of its own. Its guest runs an endless loop.
struct ys_machine;

// Creates one; returns NULL, with minus errno in `status`, if KVM can't: -ENOSYS but on x86-64.
struct ys_machine *ys_machine_make(int *status);
void ys_machine_end(struct ys_machine *machine);
// Holds the guest with its thread asleep while something else is measured, and resumes it. The
// guest begins at rest.
void ys_machine_rest(struct ys_machine *machine);
void ys_machine_go_on(struct ys_machine *machine);
int ys_machine_vm(const struct ys_machine *machine);

// The nanoseconds of one blackout and of the operations within it.
struct ys_blackout {
    uint64_t total;
    uint64_t calls;
    // 0, or minus the errno of an operation.
    int status;
};

// Holds the vCPU, applies the regions and resumes the vCPU. If `spins` is not 0, the thread of the
// vCPU and the caller wait for each other in a loop, otherwise by futex.
struct ys_blackout ys_black_out(
    struct ys_machine *machine, const struct ys_region *regions, size_t count, int spins);

#endif
