// The stack switch of CPreload: where a job runs, what it may clobber, and where a backtrace ends.
#include "portable.h"
#include "preload.h"

#include <string.h>
#include <unwind.h>

int32_t preload_process;

// Of the gate, which is not linked here.
void preload_begin_outside(void) {}

void preload_end_outside(uint64_t mask) {
    (void)mask;
}

extern int64_t preload_switch(preload_job *job, const struct preload_call *call, char *top);

static char *stack, *outer;
static int frames;

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *last) {
    // 0 where there is no further frame.
    uintptr_t at = _Unwind_GetIP(context);
    if (at) *(uintptr_t *)last = at;
    return ++frames < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static int64_t job(const struct preload_call *call) {
    char here;
    REQUIRE(&here < outer - 4096 || &here > outer + 4096);
    REQUIRE(preload_passes_through());
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, 0, &mask);
    REQUIRE(sigismember(&mask, SIGUSR1) == (call->request == 1));
    // Wants 16-byte alignment wherever the compiler trusts it.
    REQUIRE(((uintptr_t)__builtin_frame_address(0) & 7) == 0);
    uintptr_t last = 0;
    frames = 0;
    REQUIRE(_Unwind_Backtrace(count_frame, &last) == _URC_END_OF_STACK);
    REQUIRE(frames >= 2 && frames < 20);
    // The last frame is the switch itself, which is a few dozen bytes long.
    REQUIRE(last - (uintptr_t)preload_switch < 128);
    errno = 77;
    return (int64_t)call->why << 32 | 5;
}

// A job that uses every register of a caller's, so that the compiler saves them.
static int64_t clobber(const struct preload_call *call) {
    (void)call;
#if defined(__aarch64__)
    __asm__ volatile(
        "mov x19, #1\n mov x28, #2\n fmov d8, #1.0\n fmov d15, #2.0"
        ::: "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "d8", "d9",
            "d10", "d11", "d12", "d13", "d14", "d15", "memory");
#else
    __asm__ volatile("mov $1, %%rbx\n mov $2, %%r15"
                     ::: "rbx", "r12", "r13", "r14", "r15", "memory");
#endif
    return -3;
}

// Returns whether the callee-saved registers have their values after the switch.
static int keeps_registers(char *top) {
    uint64_t before[18], after[18];
    for (int i = 0; i < 18; i++) before[i] = 0x1111111111111111u * (uint64_t)(i % 15 + 1) + 7;
    memset(after, 0, sizeof after);
    int64_t result;
#if defined(__aarch64__)
    register void *a0 __asm__("x0") = (void *)clobber;
    register void *a1 __asm__("x1") = 0;
    register void *a2 __asm__("x2") = top;
    register void *a3 __asm__("x3") = before;
    register void *a4 __asm__("x4") = after;
    __asm__ volatile(
        "stp x3, x4, [sp, #-16]!\n"
        "ldp x19, x20, [x3]\n ldp x21, x22, [x3, #16]\n ldp x23, x24, [x3, #32]\n"
        "ldp x25, x26, [x3, #48]\n ldp x27, x28, [x3, #64]\n"
        "ldp d8, d9, [x3, #80]\n ldp d10, d11, [x3, #96]\n"
        "ldp d12, d13, [x3, #112]\n ldp d14, d15, [x3, #128]\n"
        "bl preload_switch\n"
        "ldp x10, x9, [sp], #16\n"
        "stp x19, x20, [x9]\n stp x21, x22, [x9, #16]\n stp x23, x24, [x9, #32]\n"
        "stp x25, x26, [x9, #48]\n stp x27, x28, [x9, #64]\n"
        "stp d8, d9, [x9, #80]\n stp d10, d11, [x9, #96]\n"
        "stp d12, d13, [x9, #112]\n stp d14, d15, [x9, #128]\n"
        : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4)
        :
        : "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
          "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
          "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
          "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
          "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "cc", "memory");
    result = (int64_t)a0;
    size_t count = 18;
#else
    register void *a0 __asm__("rdi") = (void *)clobber;
    register void *a1 __asm__("rsi") = 0;
    register void *a2 __asm__("rdx") = top;
    // The red zone of this function is stepped over.
    __asm__ volatile(
        "sub $128, %%rsp\n push %[after]\n push %[after]\n"
        "mov (%[before]), %%rbx\n mov 8(%[before]), %%r12\n mov 16(%[before]), %%r13\n"
        "mov 24(%[before]), %%r14\n mov 32(%[before]), %%r15\n"
        "call preload_switch\n"
        "pop %%rcx\n pop %%rcx\n add $128, %%rsp\n"
        "mov %%rbx, (%%rcx)\n mov %%r12, 8(%%rcx)\n mov %%r13, 16(%%rcx)\n"
        "mov %%r14, 24(%%rcx)\n mov %%r15, 32(%%rcx)\n"
        : "+r"(a0), "+r"(a1), "+r"(a2), "=a"(result)
        : [before] "r"(before), [after] "r"(after)
        : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
    size_t count = 5;
#endif
    return result == -3 && memcmp(before, after, count * 8) == 0;
}

int main(void) {
    char here;
    outer = &here;
    preload_process = getpid();
    REQUIRE(preload_make_stack() == 0);
    errno = 5;
    struct preload_call call = {.why = 9, .request = 1};
    REQUIRE(preload_locked(job, &call) == ((int64_t)9 << 32 | 5));
    REQUIRE(errno == 5);
    call.request = 0;
    REQUIRE(preload_on_stack(job, &call) == ((int64_t)9 << 32 | 5));
    REQUIRE(!preload_passes_through());
    stack = aligned_alloc(16, 65536);
    REQUIRE(keeps_registers(stack + 65536));
    // In a child that shares memory the job does not run.
    preload_process = 1;
    REQUIRE(preload_locked(job, &call) == PRELOAD_PASS);
    printf("stack: %d frames to the end of the backtrace; registers are kept\n", frames);
}
