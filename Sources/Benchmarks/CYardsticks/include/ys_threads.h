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

// How a read section is entered.
enum ys_entering {
    // A reference count that all readers share.
    YS_SHARED_COUNT,
    // A reader-writer lock of the C library.
    YS_READ_WRITE_LOCK,
    // The reader's own epoch, a sequentially consistent store.
    YS_EPOCH_FENCED,
    // The reader's own epoch, a plain store: a writer would use membarrier(2).
    YS_EPOCH_PLAIN,
};

// Enters and leaves `count` times on each of `threads` threads at once (at most 64).
// Returns the nanoseconds of one by the slowest thread; 0 if a thread could not be created.
double ys_enter_and_leave(enum ys_entering how, int threads, size_t count);

#endif
