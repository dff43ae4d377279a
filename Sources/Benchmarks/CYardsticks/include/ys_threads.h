#ifndef YS_THREADS_H
#define YS_THREADS_H

#include <stddef.h>
#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Binds the calling thread to one of the processors that it may use, by number round and round.
// Processes that it starts are bound too.
void ys_pin(int number);

// Lets the calling thread use again what it might use before the last ys_pin.
void ys_unpin(void);

// MARK: Entering and leaving a section in which the table can't be taken away

// How a section is entered.
enum ys_entering {
    // A reference count that all readers share is raised and lowered.
    YS_SHARED_COUNT,
    // A reader-writer lock of the C library.
    YS_READ_WRITE_LOCK,
    // The reader's own epoch, stored sequentially consistent.
    YS_EPOCH_FENCED,
    // The reader's own epoch, a plain store: a writer would use membarrier(2).
    YS_EPOCH_PLAIN,
};

// Enters and leaves `count` times on each of `threads` threads at once (at most 64).
// Returns nanoseconds for one, as the slowest thread saw it; 0 if a thread could not be made.
double ys_enter_and_leave(enum ys_entering how, int threads, size_t count);

#endif
