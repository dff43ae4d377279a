// Slot operations by C alone, with and without a vCPU that is held around them.
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

// Applies the regions one after the other. Returns 0, or minus the first errno.
int ys_set_regions(int vm, const struct ys_region *regions, size_t count);

// Lets kicks interrupt KVM_RUN.
void ys_accept_kicks(void);

// Makes a thread leave KVM_RUN, or not enter it; `run` is its `struct kvm_run`.
void ys_kick(void *run, int thread);

// A vCPU on a thread of its own.
struct ys_machine;

// Adopts a vCPU with its shared page, whose guest adds to `counter` in an endless loop. NULL without
// memory; released by free().
struct ys_machine *ys_machine_make(int vm, int vcpu, void *shared_page, const void *counter);

// Starts the thread. Returns 0, or minus errno.
int ys_machine_start(struct ys_machine *machine);

// Ends the thread, so that the guest does not run while something else is measured.
void ys_machine_stop(struct ys_machine *machine);

// The nanoseconds of one blackout and of the operations within it.
struct ys_blackout {
    uint64_t total;
    uint64_t calls;
    // 0, or minus the errno of an operation.
    int status;
};

// Holds the vCPU, applies the regions and resumes the vCPU. The thread of the vCPU and the caller wait
// for each other in a loop.
struct ys_blackout ys_black_out(
    struct ys_machine *machine, const struct ys_region *regions, size_t count);

#endif
