// Slot calls on a VM of our own, without anything around them.
#ifndef YS_MACHINE_H
#define YS_MACHINE_H

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

// MARK: A vCPU kicked out of a running guest and let in again, in C alone

// A VM with one vCPU on a thread of its own, whose guest runs in a loop for ever.
struct ys_machine;

// Makes one; NULL where KVM or the architecture doesn't do it, with minus errno in `status`.
struct ys_machine *ys_machine_make(int *status);
void ys_machine_end(struct ys_machine *machine);
// Keeps the guest out, its thread asleep, while something else is measured; and lets it go on.
// It begins at rest.
void ys_machine_rest(struct ys_machine *machine);
void ys_machine_go_on(struct ys_machine *machine);
int ys_machine_vm(const struct ys_machine *machine);

// How long one blackout took, and the calls within it, in nanoseconds.
struct ys_blackout {
    uint64_t total;
    uint64_t calls;
    // 0, or minus the errno of a call.
    int status;
};

// Holds the vCPU out, carries the calls out, lets it in again. `spins`: the vCPU's thread and the
// caller's spin for each other; else they wait by futex.
struct ys_blackout ys_black_out(
    struct ys_machine *machine, const struct ys_region *regions, size_t count, int spins);

#endif
