// Entering and leaving a section in which the table can't be taken away.
#ifndef YS_ENTERING_H
#define YS_ENTERING_H

#include <stddef.h>
#include <stdint.h>

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
