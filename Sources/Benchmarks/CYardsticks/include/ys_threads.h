// The clock, and a way to enter and leave a read section.
#ifndef YS_THREADS_H
#define YS_THREADS_H

#include <stddef.h>
#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Enters and leaves a read section `count` times, by a sequentially consistent store to the epoch of
// the calling thread. Returns a sum of what was read.
uint64_t ys_enter_and_leave(size_t count);

#endif
