// KVM_RUN: counted, and behind the gate.
#include "preload.h"

PRELOAD_THREAD uint64_t runs;
PRELOAD_THREAD int tells_entry;

uint64_t preload_runs(void) {
    return runs;
}

void preload_count_run(void) {
    runs++;
}

void preload_tell_entry(void) {
    tells_entry = 1;
}

static inline void count(struct preload_vcpu *vcpu) {
    runs++;
    // One thread at a time runs a vCPU; the others only look.
    __atomic_store_n(&vcpu->entries, vcpu->entries + 1, __ATOMIC_RELAXED);
}

int preload_run(struct preload_vcpu *vcpu, int descriptor, void *argument) {
    if (PRELOAD_RARELY(tells_entry)) {
        tells_entry = 0;
        preload_note(vcpu->vm, CRUN_ENTERED);
    }
    count(vcpu);
    __atomic_store_n(&vcpu->state, (uint32_t)preload_thread(), __ATOMIC_RELAXED);
    int result = preload_real_ioctl(descriptor, KVM_RUN, argument);
    __atomic_store_n(&vcpu->state, 0, __ATOMIC_RELAXED);
    return result;
}

static void tally(uint64_t *counter) {
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

// A signal that was sent to this thread while it was inside comes before anything of the VMM's
// goes on: so no other call of the VMM's is ever interrupted by it.
static void absorb(struct preload_vcpu *vcpu) {
    while (!__atomic_load_n(&vcpu->delivered, __ATOMIC_ACQUIRE)) syscall(SYS_sched_yield);
    __atomic_store_n(&vcpu->delivered, 0, __ATOMIC_RELAXED);
    // Who waits for the vCPU to leave waits for this word.
    syscall(SYS_futex, &vcpu->state, 129 /* FUTEX_WAKE_PRIVATE */, 1, 0, 0, 0);
}

int preload_run_gated(struct preload_vcpu *vcpu, int descriptor, void *argument) {
    struct preload_vm *vm = vcpu->vm;
    if (PRELOAD_RARELY(preload_pending)) preload_settle_mine(CRUN_BY_RUN);
    preload_accept_signal();
    struct preload_vcpu *outer = preload_current(vcpu);
    int64_t result;
    for (;;) {
        vcpu->is_ours = 0;
        // Ordered before the look at the gate, as the gate is closed before it is asked who is
        // inside: one of the two sees the other.
        __atomic_exchange_n(&vcpu->state, (uint32_t)preload_thread(), __ATOMIC_SEQ_CST);
        result = preload_enter(descriptor, argument, &vm->closed);
        // Before it is out: counted later, it would seem to have run while it was held out.
        if (!PRELOAD_RARELY(result == PRELOAD_REFUSED)) count(vcpu);
        uint32_t state = __atomic_exchange_n(&vcpu->state, 0, __ATOMIC_SEQ_CST);
        if (PRELOAD_RARELY(state & PRELOAD_KICKED)) absorb(vcpu);
        if (PRELOAD_RARELY(result == PRELOAD_REFUSED)) {
            if (preload_wait_open(vm) == 0) continue;
            result = -EINTR;
            break;
        }
        if (PRELOAD_RARELY(result == -EINTR && (state & PRELOAD_KICKED))) {
            if (vcpu->is_ours) {
                tally(&preload_header->hidden);
                continue;
            }
            tally(&preload_header->shown);
        }
        break;
    }
    preload_current(outer);
    if (PRELOAD_RARELY(result < 0)) {
        errno = (int)-result;
        return -1;
    }
    return (int)result;
}
