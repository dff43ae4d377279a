// The library's lock, and the stack of the thread that holds it.
//
// A VMM may keep a pointer to a buffer of a function that has returned, and works as long as nobody
// uses that much stack again; QEMU 7.2 does when it boots a PVH kernel. So of its own stack the
// calling thread uses a few hundred bytes. Whatever needs the lock runs in the same thread on a
// stack of the library's.
#include "preload.h"
#include <linux/futex.h>
#include <sys/mman.h>

#define STACK_SIZE (1ul << 20)
#define GUARD_SIZE (1ul << 16)

// A futex: 0 free, 1 held, 2 held and possibly waited for.
static uint32_t lock;
static char *stack_top;
// Counts commits. A futex for threads that wait for another thread's.
static uint32_t commits;

PRELOAD_THREAD int passes_through;
// The thread's signal mask while it holds the lock.
PRELOAD_THREAD uint64_t mask_outside;

int preload_passes_through(void) { return passes_through; }

int preload_make_stack(void) {
    // Its pages are backed when they are used.
    char *memory = mmap(
        0, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_SIZE, PROT_NONE) < 0) return -1;
    stack_top = memory + GUARD_SIZE + STACK_SIZE;
    return 0;
}

// Signals are blocked by the system call, because the library replaces glibc's function, which also
// leaves out the two signals of glibc's own.
void preload_lock(void) {
    uint64_t all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask_outside, sizeof all);
    preload_begin_outside();
    uint32_t none = 0;
    if (__atomic_compare_exchange_n(&lock, &none, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    while (__atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &lock, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

void preload_unlock(void) {
    if (__atomic_exchange_n(&lock, 0, __ATOMIC_RELEASE) == 2)
        syscall(SYS_futex, &lock, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    preload_end_outside(mask_outside);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_outside, 0, sizeof mask_outside);
}

#if defined(__x86_64__)
// int64_t preload_switch(preload_job *job, const struct preload_call *call, char *top)
//
// Each call has its return, as a shadow stack demands. Unwinders end here, off the caller's stack.
__asm__(
    ".pushsection .text\n"
    PRELOAD_FUNCTION("preload_switch")
    "    .cfi_startproc\n"
    "    endbr64\n"
    "    push %rbp\n"
    "    .cfi_def_cfa_offset 16\n"
    "    .cfi_offset %rbp, -16\n"
    "    mov %rsp, %rbp\n"
    "    .cfi_def_cfa_register %rbp\n"
    "    mov %rdi, %rax\n"
    "    mov %rsi, %rdi\n"
    "    .cfi_remember_state\n"
    "    .cfi_undefined %rip\n"
    "    mov %rdx, %rsp\n"
    "    call *%rax\n"
    "    mov %rbp, %rsp\n"
    "    .cfi_restore_state\n"
    "    pop %rbp\n"
    "    .cfi_def_cfa %rsp, 8\n"
    "    ret\n"
    "    .cfi_endproc\n"
    ".size preload_switch, . - preload_switch\n"
    ".popsection\n");
#elif defined(__aarch64__)
__asm__(
    ".pushsection .text\n"
    PRELOAD_FUNCTION("preload_switch")
    "    .cfi_startproc\n"
    "    hint #34\n" // bti c
    "    stp x29, x30, [sp, #-16]!\n"
    "    .cfi_def_cfa_offset 16\n"
    "    .cfi_offset x29, -16\n"
    "    .cfi_offset x30, -8\n"
    "    mov x29, sp\n"
    "    .cfi_def_cfa_register x29\n"
    "    mov x9, x0\n"
    "    mov x0, x1\n"
    "    .cfi_remember_state\n"
    "    .cfi_undefined x30\n"
    "    mov sp, x2\n"
    "    blr x9\n"
    "    mov sp, x29\n"
    "    .cfi_restore_state\n"
    "    ldp x29, x30, [sp], #16\n"
    "    .cfi_restore x29\n"
    "    .cfi_restore x30\n"
    "    .cfi_def_cfa sp, 0\n"
    "    ret\n"
    "    .cfi_endproc\n"
    ".size preload_switch, . - preload_switch\n"
    ".popsection\n");
#else
#error "write preload_switch for this machine"
#endif
extern int64_t preload_switch(preload_job *job, const struct preload_call *call, char *top);

int64_t preload_on_stack(preload_job *job, const struct preload_call *call) {
    int passed = passes_through, state;
    passes_through = 1;
    // A cancelled thread unwinds its own stack, and never in the middle of a transaction.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int64_t result = preload_switch(job, call, stack_top);
    pthread_setcancelstate(state, 0);
    passes_through = passed;
    return result;
}

int64_t preload_locked(preload_job *job, const struct preload_call *call) {
    // A child that shares or copies this memory without fork's handlers, as vfork's does.
    if (PRELOAD_RARELY(getpid() != preload_process)) return PRELOAD_PASS;
    int error = errno;
    for (;;) {
        preload_lock();
        uint32_t seen = __atomic_load_n(&commits, __ATOMIC_RELAXED);
        int64_t result = preload_on_stack(job, call);
        preload_unlock();
        if (result != PRELOAD_AGAIN) {
            errno = error;
            return result;
        }
        syscall(SYS_futex, &commits, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
    }
}

void preload_announce_commit(void) {
    __atomic_add_fetch(&commits, 1, __ATOMIC_RELAXED);
    syscall(SYS_futex, &commits, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}
