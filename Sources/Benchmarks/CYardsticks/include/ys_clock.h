#ifndef YS_CLOCK_H
#define YS_CLOCK_H

#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Binds the calling thread to one of the processors that it may use, by number round and round.
// Processes that it starts are bound too.
void ys_pin(int number);

// Lets the calling thread use again what it might use before the last ys_pin.
void ys_unpin(void);

#endif
