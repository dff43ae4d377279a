// The gate: makes vCPUs leave the guest, and holds them out.
//
// A signal makes a vCPU leave. `immediate_exit` belongs to the VMM and is not written. The thread's
// instruction pointer decides what the handler does, which leaves no race: between the check of the
// gate and the system call, it returns the thread to the start, as in a restartable sequence; inside
// the system call, the kernel returns EINTR. The handler also detects whether ours is the only
// signal. Had another handler been entered before it, the interrupted instruction would be that
// handler's first; a signal still to be delivered is pending. An interruption that may have another
// cause is shown to the VMM.
#include "preload.h"
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <ucontext.h>

PRELOAD_THREAD struct preload_vcpu *current;
PRELOAD_THREAD int is_unblocked;
// Whether the signal was sent again for after a handler of the VMM's.
PRELOAD_THREAD int was_postponed;

// Neither the first real-time signals, which VMMs use, nor the last.
int preload_signal(void) { return SIGRTMAX - 5; }

struct preload_vcpu *preload_current(struct preload_vcpu *vcpu) {
    struct preload_vcpu *outer = current;
    current = vcpu;
    return outer;
}

#if defined(__x86_64__)
__asm__(
    ".pushsection preload_gated,\"ax\",@progbits\n"
    PRELOAD_FUNCTION("preload_enter")
    "    mov %rdx, %r8\n"
    "    mov %rsi, %rdx\n"
    "    mov $0xae80, %esi\n"
    PRELOAD_LABEL("preload_enter_begin")
    "    cmpl $0, (%r8)\n"
    "    jne preload_enter_refused\n"
    "    mov $16, %eax\n"
    "    syscall\n"
    PRELOAD_LABEL("preload_enter_end")
    "    ret\n"
    PRELOAD_LABEL("preload_enter_refused")
    "    mov $-100000, %rax\n"
    "    ret\n"
    ".size preload_enter, . - preload_enter\n"
    ".popsection\n");
#define PROGRAM_COUNTER(context) (context)->uc_mcontext.gregs[REG_RIP]
#define CALL_RESULT(context) (context)->uc_mcontext.gregs[REG_RAX]
#elif defined(__aarch64__)
// The check is an acquire: an exchange before it, which has no full barrier here, stays before it.
__asm__(
    ".pushsection preload_gated,\"ax\",%progbits\n"
    PRELOAD_FUNCTION("preload_enter")
    "    hint #34\n" // bti c
    "    mov x9, x2\n"
    "    mov x2, x1\n"
    "    mov x1, #0xae80\n"
    "    mov x8, #29\n"
    PRELOAD_LABEL("preload_enter_begin")
    "    ldar w10, [x9]\n"
    "    cbnz w10, preload_enter_refused\n"
    "    svc #0\n"
    PRELOAD_LABEL("preload_enter_end")
    "    ret\n"
    PRELOAD_LABEL("preload_enter_refused")
    "    ldr x0, =-100000\n"
    "    ret\n"
    ".ltorg\n"
    ".size preload_enter, . - preload_enter\n"
    ".popsection\n");
#define PROGRAM_COUNTER(context) (context)->uc_mcontext.pc
#define CALL_RESULT(context) (context)->uc_mcontext.regs[0]
#else
#error "the gate needs to know where a signal finds a thread; write preload_enter for this machine"
#endif
extern const char preload_enter_begin[], preload_enter_end[], preload_enter_refused[];

// Turns back a thread about to enter. Returns whether it was inside, and no other signal came.
static int turn_back(ucontext_t *context) {
    const uintptr_t begin = (uintptr_t)preload_enter_begin, end = (uintptr_t)preload_enter_end;
    uintptr_t at = (uintptr_t)PROGRAM_COUNTER(context);
    if (at >= begin && at < end) PROGRAM_COUNTER(context) = (uintptr_t)preload_enter_refused;
    if (at != end || (int64_t)CALL_RESULT(context) != -EINTR) return 0;
    uint64_t pending = 0, blocked = 0;
    memcpy(&blocked, &context->uc_sigmask, sizeof blocked);
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    return (pending & ~blocked) == 0;
}

// The code that may run with a vCPU's state set, but for handlers of the VMM's: preload_enter, and
// what calls it.
extern const char __start_preload_gated[], __stop_preload_gated[];

// Whether a vCPU's thread is in KVM_RUN, or about to enter it.
static int is_inside(uint32_t state) { return state != 0 && !(state & PRELOAD_LEAVING); }

// A thread that runs a handler of the VMM's, which interrupted KVM_RUN, is out of the guest, and
// will be sent back when the signal is delivered after the handler. The handler may wait for the thread that
// holds vCPUs, or for another vCPU's thread.
void preload_begin_outside(void) {
    if (!current || !is_inside(__atomic_load_n(&current->state, __ATOMIC_SEQ_CST))) return;
    __atomic_or_fetch(&current->state, PRELOAD_OUTSIDE, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &current->state, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

// Called with the signal blocked; `mask` is the thread's own. The thread stays outside if it was sent
// the signal and receives it only after the handler; one that it receives now begins it again.
void preload_end_outside(uint64_t mask) {
    if (!current) return;
    uint32_t state = __atomic_load_n(&current->state, __ATOMIC_SEQ_CST);
    while (is_inside(state)
           && !(state & PRELOAD_KICKED && mask & 1ull << (preload_signal() - 1))
           && !__atomic_compare_exchange_n(
               &current->state, &state, state & ~PRELOAD_OUTSIDE, 0, __ATOMIC_SEQ_CST,
               __ATOMIC_SEQ_CST)) {
    }
}

// Whether a handler of the VMM's was interrupted before KVM_RUN has returned. Then the signal is sent for afterwards too.
static int postpone(ucontext_t *context) {
    uintptr_t at = (uintptr_t)PROGRAM_COUNTER(context);
    if (!current || !is_inside(__atomic_load_n(&current->state, __ATOMIC_SEQ_CST))) return 0;
    if (at >= (uintptr_t)__start_preload_gated && at < (uintptr_t)__stop_preload_gated) return 0;
    sigaddset(&context->uc_sigmask, preload_signal());
    preload_begin_outside();
    syscall(SYS_tgkill, preload_process, preload_thread(), preload_signal());
    was_postponed = 1;
    return 1;
}

static void handle(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    int error = errno;
    struct preload_vcpu *vcpu = current;
    if (!postpone((ucontext_t *)context)) {
        int is_ours = turn_back((ucontext_t *)context);
        // After a handler of the VMM's, whose signal has interrupted KVM_RUN too.
        if (was_postponed) is_ours = was_postponed = 0;
        if (vcpu) {
            vcpu->is_ours = (uint32_t)is_ours;
            __atomic_store_n(&vcpu->delivered, 1, __ATOMIC_RELEASE);
        }
    }
    errno = error;
}

void preload_prepare_signal(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    // SA_RESTART, for a thread that it interrupts elsewhere. Other signals wait for the handler.
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    sigaction(preload_signal(), &action, 0);
}

// Threads are often started with every signal blocked.
void preload_unblock_signal(void) {
    if (is_unblocked) return;
    uint64_t mask = 1ull << (preload_signal() - 1);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, 0, sizeof mask);
    is_unblocked = 1;
}

// Waits until the gate is open. Returns -EINTR if a signal of the VMM's comes first.
int preload_wait_open(struct preload_vm *vm) {
    uint32_t closed;
    while ((closed = __atomic_load_n(&vm->closed, __ATOMIC_SEQ_CST)) != 0) {
        uint64_t none = 0;
        __atomic_compare_exchange_n(
            &vm->withheld_since, &none, preload_now(), 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        // The time limit keeps the kernel from restarting the call after a signal.
        struct timespec limit = {1, 0};
        long result =
            syscall(SYS_futex, &vm->closed, FUTEX_WAIT_PRIVATE, closed, &limit, 0, 0);
        if (result < 0 && errno == EINTR) return -EINTR;
    }
    return 0;
}

static void kick(struct preload_vcpu *vcpu) {
    uint32_t state = __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST);
    // Marked first, so that the thread waits for the signal before it does anything else.
    do {
        if (state == 0 || (state & (PRELOAD_KICKED | PRELOAD_LEAVING))) return;
    } while (!__atomic_compare_exchange_n(
        &vcpu->state, &state, state | PRELOAD_KICKED, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    __atomic_add_fetch(&preload_header->kicks, 1, __ATOMIC_RELAXED);
    uint32_t thread = state & PRELOAD_THREAD_BITS, kicked = state | PRELOAD_KICKED;
    // A thread that was cancelled inside has ended; another may run the vCPU now.
    if (syscall(SYS_tgkill, preload_process, thread, preload_signal()) < 0 && errno == ESRCH)
        __atomic_compare_exchange_n(
            &vcpu->state, &kicked, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

// Waits until the word is no longer `value`, or for a millisecond.
static void wait_while(uint32_t *word, uint32_t value) {
    struct timespec limit = {0, 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, 0, 0);
}

// Waits until the vCPU cannot be in the guest. Returns whether it is still inside KVM_RUN.
//
// A vCPU that halts, or waits for its SIPI, sleeps in the kernel until an event, and may be woken at
// any time. After the kick it is nevertheless out of the guest: KVM tests for a pending signal, with
// interrupts off, before each entry, and sets `blocking` before it tests for one and sleeps. So once
// `blocking` is 1 after the signal was sent, the vCPU has left, and KVM_RUN returns before it enters
// again. Waiting until its thread was scheduled would take a time slice of whatever else runs.
static int wait_outside(struct preload_vm *vm, struct preload_vcpu *vcpu) {
    uint32_t state;
    while ((state = __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST)) != 0) {
        if (state & PRELOAD_ASLEEP) return 1;
        if (state & PRELOAD_LEAVING) {
            uint32_t awaited = state | PRELOAD_AWAITED;
            if (state == awaited
                || __atomic_compare_exchange_n(
                    &vcpu->state, &state, awaited, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                wait_while(&vcpu->state, awaited);
            continue;
        }
        if (!(state & PRELOAD_KICKED)) {
            // It has left and returned to the closed gate meanwhile.
            kick(vcpu);
            continue;
        }
        // The calling thread runs such a handler itself, with the signal pending.
        if (state & PRELOAD_OUTSIDE || (state & PRELOAD_THREAD_BITS) == (uint32_t)preload_thread())
            return 0;
        if (preload_is_blocking(vcpu)
            && __atomic_compare_exchange_n(
                &vcpu->state, &state, state | PRELOAD_ASLEEP, 0, __ATOMIC_SEQ_CST,
                __ATOMIC_SEQ_CST)) {
            // Otherwise it would seem to have run while it was held.
            __atomic_store_n(&vcpu->entries, vcpu->entries + 1, __ATOMIC_RELAXED);
            return 1;
        }
        // The caller ends the hold. Nothing is applied yet.
        if (preload_is_past_budget(vm)) return 0;
        wait_while(&vcpu->state, state);
        if (preload_now() - vm->held_since > preload_header->hold_limit)
            cpreload_stop("a vCPU did not leave the guest within --hold-limit-s");
    }
    return 0;
}

// Whether the hold has lasted for longer than permitted, and something is to be done about it.
int preload_is_past_budget(const struct preload_vm *vm) {
    uint64_t since = __atomic_load_n(&vm->withheld_since, __ATOMIC_RELAXED);
    return since && preload_header->hold_budget && preload_header->past_budget != CRUN_FINISH
        && preload_now() - since > preload_header->hold_budget;
}

// In a job; no thread waits for the lock in the gate. Closes the gate; then no vCPU is in the guest.
void preload_hold(struct preload_vm *vm) {
    if (vm->closed) return;
    struct crun_hold hold = {0};
    vm->held_since = preload_now();
    __atomic_store_n(&vm->withheld_since, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->closed, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < preload_vcpu_end; i++) {
        struct preload_vcpu *vcpu = &preload_vcpus[i];
        if (!vcpu->is_used || vcpu->vm != vm) continue;
        hold.inside += __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST) != 0;
        kick(vcpu);
    }
    if (hold.inside) __atomic_store_n(&vm->withheld_since, vm->held_since, __ATOMIC_RELAXED);
    uint64_t kicked = preload_now();
    for (uint32_t i = 0; i < preload_vcpu_end; i++) {
        struct preload_vcpu *vcpu = &preload_vcpus[i];
        if (vcpu->is_used && vcpu->vm == vm) hold.asleep += (uint32_t)wait_outside(vm, vcpu);
    }
    // These calls are short, unless a page of user memory has to be awaited.
    uint32_t users;
    while ((users = __atomic_load_n(&vm->users, __ATOMIC_SEQ_CST)) != 0
           && !preload_is_past_budget(vm)) {
        wait_while(&vm->users, users);
        if (preload_now() - vm->held_since > preload_header->hold_limit)
            cpreload_stop("a call that uses guest memory did not end within --hold-limit-s");
    }
    hold.kick = kicked - vm->held_since;
    hold.wait = preload_now() - kicked;
    vm->hold = hold;
    CREADING_FIRE(memslots_run, hold, vm->number, vm->held_since, hold.inside);
}

void preload_release(struct preload_vm *vm) {
    __atomic_store_n(&vm->closed, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &vm->closed, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
    CREADING_FIRE(memslots_run, release, vm->number, preload_now() - vm->held_since);
    preload_announce_commit();
}

// Surround a call other than KVM_RUN that uses guest memory.
void preload_begin_use(struct preload_vm *vm) {
    for (;;) {
        __atomic_add_fetch(&vm->users, 1, __ATOMIC_SEQ_CST);
        // A child whose memory is a copy has no VM to hold.
        if (!__atomic_load_n(&vm->closed, __ATOMIC_SEQ_CST) || getpid() != preload_process) return;
        preload_end_use(vm);
        preload_settle(vm, CRUN_BY_CALL);
        preload_wait_open(vm);
    }
}

void preload_end_use(struct preload_vm *vm) {
    if (__atomic_sub_fetch(&vm->users, 1, __ATOMIC_SEQ_CST) == 0
        && __atomic_load_n(&vm->closed, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &vm->users, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
