#include "ys_machine.h"

#include "ys_threads.h"
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ys_set_regions(int vm, const struct ys_region *regions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct kvm_userspace_memory_region region = {
            .slot = regions[i].slot,
            .flags = regions[i].flags,
            .guest_phys_addr = regions[i].guest,
            .memory_size = regions[i].size,
            .userspace_addr = regions[i].host};
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return -errno;
    }
    return 0;
}

struct ys_machine {
    int vm;
    int vcpu;
    struct kvm_run *run;
    const volatile uint32_t *counter;
    pthread_t thread;
    // The thread's id once it runs.
    _Atomic int id;
    _Atomic int stops;
    // `held`: 1 while the vCPU must stay out. `outside`: 1 once its thread waits outside.
    _Atomic int held;
    _Atomic int outside;
};

struct ys_machine *ys_machine_make(int vm, int vcpu, void *shared_page, const void *counter) {
    struct ys_machine *machine = calloc(1, sizeof *machine);
    if (machine == NULL) return NULL;
    machine->vm = vm;
    machine->vcpu = vcpu;
    machine->run = shared_page;
    machine->counter = counter;
    return machine;
}

static int kick_signal(void) { return SIGRTMIN + 7; }

static void on_kick(int signal) { (void)signal; }

void ys_accept_kicks(void) {
    struct sigaction action = {.sa_handler = on_kick};
    sigaction(kick_signal(), &action, NULL);
}

void ys_kick(void *run, int thread) {
    __atomic_store_n(&((struct kvm_run *)run)->immediate_exit, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_tgkill, getpid(), thread, kick_signal());
}

static void *run_guest(void *argument) {
    struct ys_machine *machine = argument;
    atomic_store(&machine->id, (int)syscall(SYS_gettid));
    while (!atomic_load(&machine->stops)) {
        if (atomic_load(&machine->held)) {
            atomic_store(&machine->outside, 1);
            while (atomic_load(&machine->held)) {}
            atomic_store(&machine->outside, 0);
            machine->run->immediate_exit = 0;
            // It may be held again already, and the kick was cleared above.
            continue;
        }
        ioctl(machine->vcpu, KVM_RUN, 0);
    }
    return NULL;
}

int ys_machine_start(struct ys_machine *machine) {
    ys_accept_kicks();
    machine->run->immediate_exit = 0;
    atomic_store(&machine->id, 0);
    atomic_store(&machine->stops, 0);
    int status = -pthread_create(&machine->thread, NULL, run_guest, machine);
    while (status == 0 && atomic_load(&machine->id) == 0) usleep(100);
    return status;
}

void ys_machine_stop(struct ys_machine *machine) {
    atomic_store(&machine->stops, 1);
    ys_kick(machine->run, atomic_load(&machine->id));
    pthread_join(machine->thread, NULL);
}

// Waits until the guest counts, because holding a vCPU that is outside takes no time.
static int wait_until_inside(struct ys_machine *machine) {
    while (atomic_load(&machine->outside)) {}
    uint32_t before = *machine->counter;
    uint64_t start = ys_now();
    while (*machine->counter == before)
        if (ys_now() - start > 5000000000u) return 0;
    return 1;
}

struct ys_blackout ys_black_out(
    struct ys_machine *machine, const struct ys_region *regions, size_t count) {
    struct ys_blackout result = {0};
    if (!wait_until_inside(machine)) return (struct ys_blackout){.status = -ETIMEDOUT};
    uint64_t start = ys_now();
    atomic_store(&machine->held, 1);
    ys_kick(machine->run, atomic_load(&machine->id));
    while (!atomic_load(&machine->outside)) {}
    uint64_t calls = ys_now();
    result.status = ys_set_regions(machine->vm, regions, count);
    result.calls = ys_now() - calls;
    atomic_store(&machine->held, 0);
    result.total = ys_now() - start;
    return result;
}
