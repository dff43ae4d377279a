#include "ys_threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

uint64_t ys_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// The processors of the calling thread before it was bound.
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
        // A failure only makes the figures less steady.
        sched_setaffinity(0, sizeof own, &own);
        return;
    }
}

void ys_unpin(void) {
    if (CPU_COUNT(&allowed) > 0) sched_setaffinity(0, sizeof allowed, &allowed);
}

enum { most_threads = 64 };

// A separate cache line, so that threads share only what they are meant to share.
struct line {
    _Alignas(128) _Atomic uint64_t value;
};

struct job {
    int is_plain;
    size_t count;
    int threads;
    _Atomic int ready;
    struct line table;
    struct line epochs[most_threads];
    uint64_t spans[most_threads];
    _Atomic int next;
};

static uint64_t work(struct job *job, struct line *epoch) {
    uint64_t sum = 0;
    for (size_t i = 0; i < job->count; i++) {
        if (job->is_plain) {
            atomic_store_explicit(&epoch->value, i + 1, memory_order_relaxed);
            atomic_signal_fence(memory_order_seq_cst);
        } else {
            atomic_store_explicit(&epoch->value, i + 1, memory_order_seq_cst);
        }
        sum += atomic_load_explicit(&job->table.value, memory_order_acquire);
        atomic_store_explicit(&epoch->value, 0, memory_order_release);
    }
    return sum;
}

static void *run(void *argument) {
    struct job *job = argument;
    int own = atomic_fetch_add(&job->next, 1);
    ys_pin(own);
    atomic_fetch_add(&job->ready, 1);
    while (atomic_load(&job->ready) < job->threads) {}
    uint64_t start = ys_now();
    uint64_t sum = work(job, &job->epochs[own]);
    job->spans[own] = ys_now() - start + (sum == UINT64_MAX);
    return NULL;
}

double ys_enter_and_leave(int is_plain, int threads, size_t count) {
    if (threads < 1 || threads > most_threads || count == 0) return 0;
    static struct job job;
    job.is_plain = is_plain;
    job.count = count;
    job.threads = threads;
    atomic_store(&job.ready, 0);
    atomic_store(&job.next, 0);
    pthread_t others[most_threads];
    int made = 0;
    while (made < threads && pthread_create(&others[made], NULL, run, &job) == 0) made += 1;
    // If a thread could not be started, release those that wait for it.
    if (made < threads) atomic_store(&job.ready, threads);
    for (int i = 0; i < made; i++) pthread_join(others[i], NULL);
    if (made < threads) return 0;
    uint64_t longest = 0;
    for (int i = 0; i < threads; i++)
        if (job.spans[i] > longest) longest = job.spans[i];
    return (double)longest / (double)count;
}
