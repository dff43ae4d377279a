// Commits the changes of threads that do not enter the guest, after they have been quiet.
//
// The clock alone does not make a thread quiet: the scheduler may have preempted it between two
// calls. It must also sleep in a system call, or have run for the whole span without a slot call.
#include "preload.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>

static uint32_t wanted;
static uint32_t has_watch;

// The processor time of a thread, 0: of the calling one. Returns 0 if the thread has ended.
uint64_t preload_processor_time(int32_t thread) {
    struct timespec time;
    clockid_t clock = thread ? (clockid_t)((~(unsigned)thread) << 3 | 6) : CLOCK_THREAD_CPUTIME_ID;
    if (clock_gettime(clock, &time) < 0) return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Whether the thread sleeps in a system call or has ended. Without /proc it is assumed to. After a
// long time a sleep that no signal ends counts too, as that of a parent in vfork.
static int is_asleep(int32_t thread, int is_long) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 1;
    ssize_t count = read(file, text, sizeof text - 1);
    cpreload_close(file);
    if (count <= 0) return 1;
    text[count] = 0;
    const char *end = strrchr(text, ')');
    return !end || end[1] == 0 || strchr(is_long ? "STZXDt" : "STZX", end[2]) != 0;
}

static int is_quiet(const struct preload_requester *requester, uint64_t now) {
    // A thread that runs vCPUs returns to KVM_RUN, unless the VMM stops the guest.
    uint64_t span = preload_header->quiet * (requester->runs_vcpus ? 10 : 1);
    if (now - requester->last < span) return 0;
    // It stands for all threads that there was no room for.
    if (requester->thread == 0) return 1;
    uint64_t time = preload_processor_time(requester->thread);
    if (time == 0 || time - requester->processor_time >= span) return 1;
    return is_asleep(requester->thread, now - requester->last >= 10 * span);
}

static int64_t commit_quiet(const struct preload_call *call) {
    (void)call;
    uint64_t now = preload_now();
    for (int i = 0; i < PRELOAD_VMS; i++) {
        struct preload_vm *vm = &preload_vms[i];
        preload_limit_hold(vm);
        if (!vm->is_pending) continue;
        uint32_t quiet = 0;
        while (quiet < vm->requester_count && is_quiet(&vm->requesters[quiet], now)) quiet++;
        if (quiet < vm->requester_count) continue;
        // A thread that waits for the lock with its next call seems asleep.
        if (__atomic_load_n(&preload_arriving[i], __ATOMIC_SEQ_CST)) continue;
        preload_commit(vm, CRUN_BY_QUIET);
    }
    return 0;
}

// For how long yet no VM with deferred calls can be quiet, in nanoseconds; 0 if one may be.
//
// Without the lock: on a busy machine, preempted with it, the watch would make the threads that
// request changes, or commit them, wait for a time slice.
static uint64_t time_to_quiet(void) {
    uint64_t now = preload_now(), span = preload_header->quiet, least = span;
    for (int i = 0; i < PRELOAD_VMS; i++) {
        if (!__atomic_load_n(&preload_vms[i].is_pending, __ATOMIC_RELAXED)) continue;
        uint64_t end = __atomic_load_n(&preload_vms[i].last_request, __ATOMIC_RELAXED) + span;
        if (end <= now) return 0;
        if (end - now < least) least = end - now;
    }
    return least;
}

static void *watch(void *nothing) {
    (void)nothing;
    // The two signals of the C library's own: setuid waits until each thread has received one.
    uint64_t own = 3ull << 31;
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &own, 0, sizeof own);
    for (;;) {
        __atomic_store_n(&wanted, 0, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&preload_pending, __ATOMIC_SEQ_CST))
            syscall(SYS_futex, &wanted, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
        int is_limited = preload_header->hold_budget && preload_header->past_budget != CRUN_FINISH;
        uint64_t pause = time_to_quiet();
        if (is_limited || pause == 0) pause = preload_header->quiet / 4;
        if (is_limited && preload_header->hold_budget / 4 < pause)
            pause = preload_header->hold_budget / 4;
        struct timespec time = {(time_t)(pause / 1000000000u), (long)(pause % 1000000000u)};
        nanosleep(&time, 0);
        if (is_limited || time_to_quiet() == 0) preload_locked(commit_quiet, 0);
    }
    return 0;
}

void preload_wake_watch(void) {
    if (__atomic_exchange_n(&wanted, 1, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_futex, &wanted, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

// In a job, where every signal is blocked: the thread receives none of the VMM's, but glibc's own.
void preload_start_watch(void) {
    if (has_watch) return;
    has_watch = 1;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, watch, 0) != 0)
        cpreload_stop("the thread that detects quiet threads cannot be created");
    pthread_attr_destroy(&attributes);
}

void preload_reset_watch(void) { has_watch = 0; }
