// What a reader without a fence of its own needs from C: membarrier(2), a fence for the compiler
// alone, and a number for the running thread.
#ifndef CREADING_FENCE_H
#define CREADING_FENCE_H

#include <stdint.h>

// membarrier(2), MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: to be done once before the fence.
// Returns 0 or -errno.
int creading_fence_register(void);

// membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED: afterwards every thread of this process has
// executed a full memory barrier. Returns 0 or -errno.
int creading_fence(void);

// Keeps the compiler, and only the compiler, from moving memory accesses across.
static inline __attribute__((always_inline)) void creading_fence_compiler(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// Where the running thread's local memory is: differs between threads that run at the same time.
static inline __attribute__((always_inline)) uintptr_t creading_fence_thread(void) {
    return (uintptr_t)__builtin_thread_pointer();
}

#endif
