#include "yardsticks.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ys_set_regions(int vm, const struct ys_slot *regions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct kvm_userspace_memory_region region = {
            .slot = regions[i].id, .flags = regions[i].flags, .guest_phys_addr = regions[i].guest,
            .memory_size = regions[i].size, .userspace_addr = regions[i].host};
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return -errno;
    }
    return 0;
}

int ys_set_runnable(int vcpu, int is_runnable) {
    struct kvm_mp_state state = {
        .mp_state = is_runnable ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED};
    return ioctl(vcpu, KVM_SET_MP_STATE, &state) < 0 ? -errno : 0;
}

struct vcpu {
    struct ys_vcpus *all;
    int descriptor;
    struct kvm_run *run;
    pthread_t thread;
    _Atomic int id;
    // 1 while its thread may be in the guest.
    _Atomic int inside;
};

struct ys_vcpus {
    int vm;
    size_t count;
    unsigned handler;
    int spins;
    _Atomic int stops;
    // 1 while all must stay out.
    _Atomic int held;
    struct vcpu vcpus[];
};

static int kick_signal(void) { return SIGRTMIN + 7; }

static void on_kick(int signal) { (void)signal; }

static void kick(struct vcpu *vcpu) {
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_tgkill, getpid(), atomic_load(&vcpu->id), kick_signal());
}

static void wait_while(_Atomic int *word, int spins) {
    while (atomic_load(word))
        if (!spins) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static void wake(_Atomic int *word, int spins) {
    if (!spins) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void leave(struct vcpu *vcpu) {
    atomic_store(&vcpu->inside, 0);
    if (atomic_load(&vcpu->all->held)) wake(&vcpu->inside, vcpu->all->spins);
}

static void *run_vcpu(void *argument) {
    struct vcpu *vcpu = argument;
    struct ys_vcpus *all = vcpu->all;
    atomic_store(&vcpu->id, (int)syscall(SYS_gettid));
    while (!atomic_load(&all->stops)) {
        // Before it is inside: a kick that comes later must stay.
        vcpu->run->immediate_exit = 0;
        atomic_store(&vcpu->inside, 1);
        if (atomic_load(&all->held) || atomic_load(&all->stops)) {
            leave(vcpu);
            wait_while(&all->held, all->spins);
            continue;
        }
        int status = ioctl(vcpu->descriptor, KVM_RUN, 0);
        leave(vcpu);
        if (status == 0) usleep(all->handler);
    }
    return NULL;
}

struct ys_vcpus *ys_vcpus_make(
    int vm, const int *vcpus, void *const *shared_pages, size_t count, unsigned handler,
    int spins) {
    struct ys_vcpus *all = calloc(1, sizeof *all + count * sizeof all->vcpus[0]);
    if (all == NULL) return NULL;
    all->vm = vm;
    all->count = count;
    all->handler = handler;
    all->spins = spins;
    for (size_t i = 0; i < count; i++)
        all->vcpus[i] = (struct vcpu){.all = all, .descriptor = vcpus[i], .run = shared_pages[i]};
    return all;
}

int ys_vcpus_start(struct ys_vcpus *all) {
    struct sigaction action = {.sa_handler = on_kick};
    sigaction(kick_signal(), &action, NULL);
    atomic_store(&all->stops, 0);
    for (size_t i = 0; i < all->count; i++) {
        struct vcpu *vcpu = &all->vcpus[i];
        atomic_store(&vcpu->id, 0);
        int status = pthread_create(&vcpu->thread, NULL, run_vcpu, vcpu);
        if (status != 0) {
            all->count = i;
            ys_vcpus_stop(all);
            return -status;
        }
        while (atomic_load(&vcpu->id) == 0) usleep(100);
    }
    return 0;
}

void ys_vcpus_stop(struct ys_vcpus *all) {
    atomic_store(&all->stops, 1);
    for (size_t i = 0; i < all->count; i++) {
        kick(&all->vcpus[i]);
        pthread_join(all->vcpus[i].thread, NULL);
    }
}

struct ys_blackout ys_hold(struct ys_vcpus *all, const struct ys_slot *regions, size_t count) {
    // About 5 us.
    enum { SPINS = 2000 };
    struct ys_blackout result = {0};
    uint64_t start = ys_now();
    atomic_store(&all->held, 1);
    for (size_t i = 0; i < all->count; i++)
        if (atomic_load(&all->vcpus[i].inside)) kick(&all->vcpus[i]);
    for (size_t i = 0; i < all->count; i++) {
        for (int turn = 0; turn < SPINS && atomic_load(&all->vcpus[i].inside); turn++) {}
        wait_while(&all->vcpus[i].inside, all->spins);
    }
    uint64_t calls = ys_now();
    result.status = ys_set_regions(all->vm, regions, count);
    result.calls = ys_now() - calls;
    atomic_store(&all->held, 0);
    wake(&all->held, all->spins);
    result.total = ys_now() - start;
    return result;
}
