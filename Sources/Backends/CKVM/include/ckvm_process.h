// System calls beside KVM's that Glibc's module lacks, or whose errno must be read at once.
#ifndef CKVM_PROCESS_H
#define CKVM_PROCESS_H

#include "ckvm_system.h"
#include <linux/memfd.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int ckvm_memfd_create(const char *name) {
    return CKVM_RESULT((int)syscall(SYS_memfd_create, name, MFD_CLOEXEC));
}

static inline int ckvm_truncate(int descriptor, int64_t size) {
    return CKVM_RESULT(ftruncate(descriptor, size));
}

static inline int ckvm_duplicate(int descriptor) {
    return CKVM_RESULT(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
}

static inline int ckvm_close(int descriptor) {
    return CKVM_RESULT(close(descriptor));
}

// A shared mapping to read and write.
static inline int ckvm_map(int descriptor, size_t size, int64_t offset, void **address) {
    void *mapped = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset);
    if (mapped == MAP_FAILED) return -errno;
    *address = mapped;
    return 0;
}

static inline int ckvm_unmap(void *address, size_t size) {
    return CKVM_RESULT(munmap(address, size));
}

static inline int ckvm_process(void) {
    return getpid();
}

static inline int ckvm_thread(void) {
    return (int)syscall(SYS_gettid);
}

// By thread id and process id, so that a thread that is gone gives ESRCH.
static inline int ckvm_signal_thread(int process, int thread, int signal) {
    return CKVM_RESULT((int)syscall(SYS_tgkill, process, thread, signal));
}

static inline void ckvm_do_nothing(int signal) {
    (void)signal;
}

// Gives `signal` a handler that does nothing, unless somebody's handler stands there already.
// Without SA_RESTART, so that a system call is interrupted. A default action would end the
// process, an ignored signal would not end KVM_RUN.
static inline int ckvm_handle_signal(int signal) {
    struct sigaction present;
    if (sigaction(signal, 0, &present) < 0) return -errno;
    if ((present.sa_flags & SA_SIGINFO) ||
        (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN))
        return 0;
    struct sigaction action = {.sa_handler = ckvm_do_nothing};
    sigemptyset(&action.sa_mask);
    return CKVM_RESULT(sigaction(signal, &action, 0));
}

static inline int ckvm_unblock_signal(int signal) {
    sigset_t set;
    sigemptyset(&set);
    if (sigaddset(&set, signal) < 0) return -errno;
    return -pthread_sigmask(SIG_UNBLOCK, &set, 0);
}

static inline int ckvm_first_realtime_signal(void) {
    return SIGRTMIN;
}

// Which processors the calling thread may use, a bit each from the lowest of the first word on.
// The number of bytes that are set; the rest is not touched.
static inline int ckvm_get_affinity(uint64_t *mask, size_t size) {
    return CKVM_RESULT((int)syscall(SYS_sched_getaffinity, 0, size, mask));
}

static inline int ckvm_set_affinity(const uint64_t *mask, size_t size) {
    return CKVM_RESULT((int)syscall(SYS_sched_setaffinity, 0, size, mask));
}

static inline uint32_t ckvm_load32(const void *address) {
    return __atomic_load_n((const uint32_t *)address, __ATOMIC_SEQ_CST);
}

static inline void ckvm_store32(void *address, uint32_t value) {
    __atomic_store_n((uint32_t *)address, value, __ATOMIC_SEQ_CST);
}

#endif
