// The clock, processors, and ways to enter and leave a read section.
#ifndef YS_THREADS_H
#define YS_THREADS_H

#include <stddef.h>
#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Binds the calling thread, and processes that it starts, to processor `number` modulo the number
// of those it may use.
void ys_pin(int number);

// Undoes the last ys_pin of the calling thread.
void ys_unpin(void);

// Enters and leaves a read section `count` times on each of `threads` threads at once (at most 64),
// by the reader's own epoch: a sequentially consistent store, or if `is_plain` a plain one, with
// which a writer would use membarrier(2). Returns the nanoseconds of one by the slowest thread; 0 if
// a thread could not be created.
double ys_enter_and_leave(int is_plain, int threads, size_t count);

#endif
