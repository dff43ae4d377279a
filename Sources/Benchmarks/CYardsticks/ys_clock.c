// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ys_clock.h"

#include <sched.h>
#include <time.h>

uint64_t ys_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// What the calling thread might use before it was bound.
static __thread cpu_set_t allowed;

void ys_pin(int number) {
    cpu_set_t own;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    int count = CPU_COUNT(&allowed);
    if (count == 0) return;
    int skipped = number % count;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || skipped-- > 0) continue;
        CPU_ZERO(&own);
        CPU_SET(cpu, &own);
        // Refused, the figures are only less steady.
        sched_setaffinity(0, sizeof own, &own);
        return;
    }
}

void ys_unpin(void) {
    if (CPU_COUNT(&allowed) > 0) sched_setaffinity(0, sizeof allowed, &allowed);
}
