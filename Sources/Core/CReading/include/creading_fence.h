// What a reader without a memory fence of its own needs from C: membarrier(2), a compiler fence, and
// a number for the running thread.
#ifndef CREADING_FENCE_H
#define CREADING_FENCE_H

#include <stdint.h>

// membarrier(2), MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED. Call it once before creading_fence.
// Returns 0 or -errno.
int creading_fence_register(void);

// membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED. When it returns 0, every thread of this process
// has executed a full memory barrier. Returns 0 or -errno.
int creading_fence(void);

// Keeps the compiler from moving memory accesses across it. The processor may still move them.
static inline __attribute__((always_inline)) void creading_fence_compiler(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// The address of the running thread's local memory. It differs between threads that run at the
// same time.
static inline __attribute__((always_inline)) uintptr_t creading_fence_thread(void) {
    return (uintptr_t)__builtin_thread_pointer();
}

#endif
