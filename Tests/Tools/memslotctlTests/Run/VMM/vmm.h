// A small VMM without Memslots, which the tests run under memslotctl.
#ifndef VMM_H
#define VMM_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull
// The guest's code, and beside it where each vCPU counts its rounds.
#define CODE 0x1000ull
#define STATUS 0x2000ull
#define LOW_SIZE 0x10000ull
// The region whose slots are changed.
#define REGION 0x100000ull
#define REGION_PAGES 16ull
#define REGION_SIZE (REGION_PAGES * PAGE)

struct vcpu {
    int descriptor;
    int index;
    struct kvm_run *run;
    pthread_t thread;
    struct vm *vm;
    // Events that its thread counted.
    unsigned long mmio, errors, interruptions, port_exits;
};

struct vm {
    int kvm, descriptor;
    uint8_t *low, *region;
    int vcpu_count;
    struct vcpu vcpus[8];
    volatile int stops;
};

// Prints what failed and ends the program, unless `condition`.
void must(int condition, const char *what);
// Makes a slot call. Returns 0 or the errno.
int set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t size,
    const void *memory);
// Creates a VM with the low slot 0, the region in slot 1, and vCPUs that walk it.
void make_vm(struct vm *vm, int vcpus, uint32_t region_flags);
void add_vcpu(struct vm *vm);
void close_vm(struct vm *vm);
// Runs the vCPUs until they are stopped.
void start(struct vm *vm);
void stop(struct vm *vm);
// The number of lost increments.
unsigned long lost(struct vm *vm);
uint32_t *rounds(struct vcpu *vcpu);
// Split the region into two slots, and merge them again.
void split(struct vm *vm, uint32_t flags);
void merge(struct vm *vm, uint32_t flags);
uint64_t now(void);

struct test {
    const char *name;
    int (*run)(int argc, char **argv);
};
extern const struct test tests[];

#endif
