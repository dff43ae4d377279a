// See the header.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CKVM.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ckvm_open(const char *path) { return CKVM_RESULT(open(path, O_RDWR | O_CLOEXEC)); }

int ckvm_memfd_create(const char *name, int huge) {
    unsigned flags = MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
    return CKVM_RESULT((int)syscall(SYS_memfd_create, name, flags));
}

int ckvm_map(int descriptor, size_t size, int64_t offset, void **address) {
    void *mapped = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset);
    if (mapped == MAP_FAILED) return -errno;
    *address = mapped;
    return 0;
}

int ckvm_map_huge(size_t size, void **address) {
    const uintptr_t huge = 2 << 20;
    void *mapped = mmap(0, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return -errno;
    *address = (void *)(((uintptr_t)mapped + huge - 1) & -huge);
    if (madvise(*address, size, MADV_HUGEPAGE) < 0) {
        int result = -errno;
        munmap(mapped, size + huge);
        return result;
    }
    // Where a read comes first, the kernel maps a page of zeros, which 6.1 splits for a write.
    for (size_t n = 0; n < size; n += huge) ((volatile char *)*address)[n] = 0;
    return 0;
}

int ckvm_is_readable(const void *address) {
    // rt_sigprocmask(2) reads the set, then refuses this `how`. Unlike a pipe it needs no descriptor.
    return syscall(SYS_rt_sigprocmask, ~0, address, 0, 8) == 0 || errno != EFAULT;
}

int ckvm_is_same_file(int one, int other) {
    // F_DUPFD_QUERY, since 6.10; a sandbox may refuse kcmp(2).
    int result = fcntl(one, 1024 + 3, other);
    if (result >= 0) return result;
    int process = getpid();
    result = (int)syscall(SYS_kcmp, process, process, KCMP_FILE, one, other);
    return result < 0 ? one == other : result == 0;
}

int ckvm_thread(void) { return (int)syscall(SYS_gettid); }

int ckvm_signal_thread(int process, int thread, int signal) {
    return CKVM_RESULT((int)syscall(SYS_tgkill, process, thread, signal));
}

static void do_nothing(int signal) { (void)signal; }

int ckvm_handle_signal(int signal) {
    struct sigaction present;
    if (sigaction(signal, 0, &present) < 0) return -errno;
    if ((present.sa_flags & SA_SIGINFO) ||
        (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN))
        return 0;
    struct sigaction action = {.sa_handler = do_nothing};
    sigemptyset(&action.sa_mask);
    return CKVM_RESULT(sigaction(signal, &action, 0));
}

int ckvm_unblock_signal(int signal) {
    sigset_t set;
    sigemptyset(&set);
    if (sigaddset(&set, signal) < 0) return -errno;
    return -pthread_sigmask(SIG_UNBLOCK, &set, 0);
}

int ckvm_pre_fault_memory(int vcpu, struct ckvm_pre_fault *range, int signal, int milliseconds) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
    event._sigev_un._tid = ckvm_thread();
    // By number: a symbol of timer_create(2) would ask for glibc 2.34.
    int timer;
    // EAGAIN would mean that KVM was interrupted.
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
        return errno == EAGAIN ? -ENOMEM : -errno;
    struct timespec span = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    // Repeated, because a signal right before the call would be lost.
    struct itimerspec times = {span, span};
    syscall(SYS_timer_settime, timer, 0, &times, 0);
    int result = CKVM_RESULT(ioctl(vcpu, CKVM_PRE_FAULT_MEMORY, range));
    syscall(SYS_timer_delete, timer);
    return result;
}

int ckvm_first_realtime_signal(void) { return SIGRTMIN; }

uint64_t ckvm_find_statistic(int file, const char *name) {
    struct kvm_stats_header head;
    char entry[256] = {0};
    if (pread(file, &head, sizeof head, 0) != sizeof head || head.name_size >= 200
        || head.num_desc > 4096)
        return 0;
    const size_t before = sizeof(struct kvm_stats_desc), size = before + head.name_size;
    for (uint32_t n = 0; n < head.num_desc; n++) {
        uint32_t offset;
        if (pread(file, entry, size, head.desc_offset + n * size) != (ssize_t)size) break;
        memcpy(&offset, entry + offsetof(struct kvm_stats_desc, offset), sizeof offset);
        if (strcmp(entry + before, name) == 0) return head.data_offset + (uint64_t)offset;
    }
    return 0;
}

int64_t ckvm_statistic(int vm, const char *name) {
    int64_t value = -1;
    int file = ioctl(vm, KVM_GET_STATS_FD, 0);
    if (file < 0) return value;
    uint64_t offset = ckvm_find_statistic(file, name);
    if (!offset || pread(file, &value, sizeof value, (off_t)offset) != sizeof value) value = -1;
    close(file);
    return value;
}

int ckvm_get_affinity(uint64_t *mask, size_t size) {
    return CKVM_RESULT((int)syscall(SYS_sched_getaffinity, 0, size, mask));
}

int ckvm_set_affinity(const uint64_t *mask, size_t size) {
    return CKVM_RESULT((int)syscall(SYS_sched_setaffinity, 0, size, mask));
}
