#ifndef YS_CLOCK_H
#define YS_CLOCK_H

#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t ys_now(void);

#endif
