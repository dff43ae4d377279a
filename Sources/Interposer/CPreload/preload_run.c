// KVM_RUN, counted, and under --atomic behind the gate.
#include "preload.h"
#include <linux/futex.h>

PRELOAD_THREAD uint64_t runs;
PRELOAD_THREAD int records_entry;

uint64_t preload_runs(void) { return runs; }

void preload_record_next_entry(void) { records_entry = 1; }

static inline __attribute__((always_inline)) void count_entry(struct preload_vcpu *vcpu) {
    // One thread at a time runs a vCPU. A hold counts instead, where it says so in the state.
    __atomic_store_n(&vcpu->entries, vcpu->entries + 1, __ATOMIC_RELAXED);
}

int preload_run(struct preload_vcpu *vcpu, int descriptor, void *argument) {
    if (PRELOAD_RARELY(records_entry)) {
        records_entry = 0;
        preload_record_event(vcpu->vm, CRUN_ENTERED);
    }
    runs++;
    count_entry(vcpu);
    __atomic_store_n(&vcpu->state, (uint32_t)preload_thread(), __ATOMIC_RELAXED);
    int result = preload_real_ioctl(descriptor, KVM_RUN, argument);
    __atomic_store_n(&vcpu->state, 0, __ATOMIC_RELAXED);
    struct preload_call call = {.vm = vcpu->vm, .descriptor = descriptor};
    if (PRELOAD_RARELY(result < 0 && errno == EFAULT)) preload_locked(preload_record_fault, &call);
    return result;
}

static void increment(uint64_t *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED); }

// Waits for a signal that was sent to this thread inside, so that it interrupts no other call.
static void wait_for_signal(struct preload_vcpu *vcpu) {
    // The signal interrupts the call, and a restarted one finds the word changed.
    while (!__atomic_load_n(&vcpu->delivered, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &vcpu->delivered, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    __atomic_store_n(&vcpu->delivered, 0, __ATOMIC_RELAXED);
}

// Leaves the gate. Returns the vCPU's state before.
static inline __attribute__((always_inline)) uint32_t leave(struct preload_vcpu *vcpu, int has_entered) {
    uint32_t state = __atomic_exchange_n(&vcpu->state, PRELOAD_LEAVING, __ATOMIC_SEQ_CST);
    // Before it is outside, or it would seem to have run while it was held.
    if (has_entered) {
        runs++;
        if (!PRELOAD_RARELY(state & PRELOAD_ASLEEP)) count_entry(vcpu);
    }
    uint32_t later = __atomic_exchange_n(&vcpu->state, 0, __ATOMIC_SEQ_CST);
    // The thread that holds vCPUs waits for this word.
    if (PRELOAD_RARELY((state & PRELOAD_KICKED) || (later & PRELOAD_AWAITED)))
        syscall(SYS_futex, &vcpu->state, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return state;
}

// The signal's handler knows it by its section: with the state set it calls preload_enter alone.
__attribute__((section("preload_gated"))) int preload_run_gated(
    struct preload_vcpu *vcpu, int descriptor, void *argument) {
    struct preload_vm *vm = vcpu->vm;
    int error = errno;
    if (PRELOAD_RARELY(preload_pending)) preload_settle_own(CRUN_BY_RUN);
    preload_unblock_signal();
    struct preload_vcpu *outer = preload_current(vcpu);
    int64_t result;
    for (;;) {
        vcpu->is_ours = 0;
        // Ordered before the check of the gate. A hold closes the gate before it reads which
        // vCPUs are inside, so one of the two sees the other.
        __atomic_exchange_n(&vcpu->state, (uint32_t)preload_thread(), __ATOMIC_SEQ_CST);
        result = preload_enter(descriptor, argument, &vm->closed);
        uint32_t state = leave(vcpu, result != PRELOAD_REFUSED);
        if (PRELOAD_RARELY(state & PRELOAD_KICKED)) wait_for_signal(vcpu);
        if (PRELOAD_RARELY(result == PRELOAD_REFUSED)) {
            if (preload_wait_open(vm) == 0) continue;
            result = -EINTR;
            break;
        }
        if (PRELOAD_RARELY(result == -EINTR && (state & PRELOAD_KICKED))) {
            if (vcpu->is_ours) {
                increment(&preload_header->hidden);
                continue;
            }
            increment(&preload_header->shown);
        }
        break;
    }
    preload_current(outer);
    if (PRELOAD_RARELY(result < 0)) {
        struct preload_call call = {.vm = vm, .descriptor = descriptor};
        if (result == -EFAULT) preload_locked(preload_record_fault, &call);
        errno = (int)-result;
        return -1;
    }
    errno = error;
    return (int)result;
}
