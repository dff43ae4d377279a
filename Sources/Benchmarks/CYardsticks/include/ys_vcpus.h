// A hold of many vCPUs by C alone: signal all, then wait for each, by a loop and then by a futex.
#ifndef YS_VCPUS_H
#define YS_VCPUS_H

#include "ys_machine.h"

// Puts the interrupt controllers into the kernel, so that a halted vCPU stays there. Returns 0, or
// minus errno.
int ys_make_irqchip(int vm);

// Lets a vCPU run, or wait for its start signal (SIPI). Returns 0, or minus errno.
int ys_set_runnable(int vcpu, int is_runnable);

struct ys_vcpus;

// Adopts `count` vCPUs with their shared pages. After an exit of the guest a thread sleeps for
// `handler` microseconds. NULL without memory; released by free().
struct ys_vcpus *ys_vcpus_make(
    int vm, const int *vcpus, void *const *shared_pages, size_t count, unsigned handler);

// Starts a thread for each. Returns 0, or minus errno.
int ys_vcpus_start(struct ys_vcpus *vcpus);

// Ends the threads.
void ys_vcpus_stop(struct ys_vcpus *vcpus);

// Holds all vCPUs, applies the regions and resumes them.
struct ys_blackout ys_hold(struct ys_vcpus *vcpus, const struct ys_region *regions, size_t count);

#endif
