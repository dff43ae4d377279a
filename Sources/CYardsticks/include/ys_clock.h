#ifndef YS_CLOCK_H
#define YS_CLOCK_H

#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

// Binds the calling thread to one of the processors that it may use, by number round and round.
void ys_pin(int number);

#endif
