// See the header. In C, because what is tried takes some nanoseconds: a debug build of Swift takes
// longer over two accesses than a processor holds a store back.
#include "cfence_litmus.h"

#include <pthread.h>
#include <sched.h>

#include "creading_fence.h"

// A word in cache lines of its own.
typedef struct {
    _Alignas(128) long word;
} line;

typedef struct {
    long rounds;
    line ticket, active, round, found, ended;
} litmus;

static long load(line *line) { return __atomic_load_n(&line->word, __ATOMIC_ACQUIRE); }

static void store(line *line, long value) {
    __atomic_store_n(&line->word, value, __ATOMIC_RELEASE);
}

static void wait_for(line *line, long value) {
    for (long turns = 0; load(line) != value; turns++)
        if (turns > 2000) sched_yield();
}

static void *reader(void *argument) {
    litmus *test = argument;
    for (long round = 1; round <= test->rounds; round++) {
        wait_for(&test->round, round);
        __atomic_store_n(&test->ticket.word, round, __ATOMIC_RELAXED);
        creading_fence_compiler();
        store(&test->found, load(&test->active));
        store(&test->ended, round);
    }
    return 0;
}

long cfence_litmus(long rounds, int fenced) {
    litmus test = {.rounds = rounds};
    pthread_t thread;
    if (pthread_create(&thread, 0, reader, &test) != 0) return -1;
    long missed = 0;
    unsigned int random = 1;
    for (long round = 1; round <= rounds; round++) {
        store(&test.round, round);
        // So that the two meet in every way.
        random = random * 1103515245 + 12345;
        for (volatile unsigned int turn = random >> 16 & 127; turn > 0; turn--) {
        }
        __atomic_store_n(&test.active.word, round, __ATOMIC_SEQ_CST);
        if (fenced) creading_fence();
        int is_seen = load(&test.ticket) == round;
        wait_for(&test.ended, round);
        missed += !is_seen && load(&test.found) != round;
    }
    pthread_join(thread, 0);
    return missed;
}
