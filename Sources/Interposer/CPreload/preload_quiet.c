// Commits for threads that don't go to the guest: after they have been quiet for a while.
//
// Quiet is told by what the thread did, not by the clock alone. One that was put aside by the
// scheduler in the middle of its calls is not quiet: it must sleep in a system call, or have run
// for that long without a slot call.
#include "preload.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>

static uint32_t wanted;
static uint32_t has_watch;

// CLOCK_THREAD_CPUTIME_ID of another thread; 0: the calling one. 0 where it is gone.
uint64_t preload_processor_time(int32_t thread) {
    struct timespec time;
    clockid_t clock = thread ? (clockid_t)((~(unsigned)thread) << 3 | 6) : CLOCK_THREAD_CPUTIME_ID;
    if (clock_gettime(clock, &time) < 0) return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Whether the thread sleeps in a system call, or is gone. Where /proc is missing it may be.
static int is_asleep(int32_t thread) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 1;
    ssize_t count = read(file, text, sizeof text - 1);
    preload_real_close(file);
    if (count <= 0) return 1;
    text[count] = 0;
    const char *end = strrchr(text, ')');
    return !end || end[1] == 0 || end[2] == 'S' || end[2] == 'T' || end[2] == 'Z' || end[2] == 'X';
}

static int is_quiet(const struct preload_asker *asker, uint64_t now) {
    // A thread that runs vCPUs comes back to KVM_RUN, unless the VMM stops the guest.
    uint64_t span = preload_header->quiet * (asker->runs_vcpus ? 10 : 1);
    if (now - asker->last < span) return 0;
    uint64_t time = preload_processor_time(asker->thread);
    if (time == 0 || time - asker->processor_time >= span) return 1;
    return is_asleep(asker->thread);
}

static void look(void) {
    sigset_t saved;
    preload_lock(&saved);
    uint64_t now = preload_now();
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        if (!vm->is_pending) continue;
        uint32_t quiet = 0;
        while (quiet < vm->asker_count && is_quiet(&vm->askers[quiet], now)) quiet++;
        if (quiet < vm->asker_count) continue;
        // One that waits for the lock with its next call looks asleep.
        if (__atomic_load_n(&preload_arriving, __ATOMIC_SEQ_CST)) continue;
        preload_commit(vm, CRUN_BY_QUIET);
    }
    preload_unlock(&saved);
}

static void *watch(void *nothing) {
    (void)nothing;
    for (;;) {
        __atomic_store_n(&wanted, 0, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&preload_pending, __ATOMIC_SEQ_CST))
            syscall(SYS_futex, &wanted, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
        uint64_t pause = preload_header->quiet / 4;
        struct timespec span = {(time_t)(pause / 1000000000u), (long)(pause % 1000000000u)};
        nanosleep(&span, 0);
        look();
    }
    return 0;
}

void preload_wake_watch(void) {
    if (__atomic_exchange_n(&wanted, 1, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_futex, &wanted, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

// With the lock held, so with every signal blocked: the thread takes none of the VMM's.
void preload_start_watch(void) {
    if (has_watch) return;
    has_watch = 1;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, watch, 0) != 0)
        cpreload_stop("no thread can be made to watch for quiet");
    pthread_attr_destroy(&attributes);
}

void preload_forget_watch(void) {
    has_watch = 0;
}
