// See the header.
#include "clinux_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

// What every process of ours needs to run and to end.
static const int everywhere[] = {
    SYS_read, SYS_write, SYS_close, SYS_recvmsg, SYS_recvfrom, SYS_sendmsg, SYS_sendto,
    SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_restart_syscall, SYS_futex, SYS_getpid};

// What the process that serves needs besides: memory, threads, files, sockets.
static const int serving[] = {
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_membarrier, SYS_memfd_create,
    SYS_ftruncate, SYS_fallocate,
    SYS_set_robust_list, SYS_rseq, SYS_set_tid_address, SYS_sched_yield, SYS_sched_getaffinity,
    SYS_gettid, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigtimedwait, SYS_sigaltstack,
    SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
    SYS_getrandom, SYS_uname, SYS_sysinfo, SYS_getrusage, SYS_times,
    SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_fstat, SYS_newfstatat,
    SYS_statx, SYS_openat, SYS_flock, SYS_dup, SYS_dup3, SYS_unlinkat, SYS_renameat,
    SYS_renameat2, SYS_linkat, SYS_getdents64, SYS_fsync, SYS_fdatasync, SYS_faccessat,
    SYS_readlinkat, SYS_ppoll, SYS_pipe2, SYS_eventfd2, SYS_connect, SYS_accept4, SYS_shutdown,
    SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername, SYS_pidfd_send_signal,
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_timerfd_create, SYS_timerfd_settime,
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef SYS_open  // Older forms, which newer processors do not have.
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_unlink, SYS_rename, SYS_link, SYS_readlink,
    SYS_poll, SYS_pipe, SYS_dup2, SYS_epoll_wait, SYS_time,
#endif
};

static const int launching[] = {SYS_pidfd_open, SYS_close_range, SYS_kill};

// What examines a descriptor without its file system, what fork(3) needs, and further confinement.
static const int receiving[] = {SYS_getsockopt, SYS_set_robust_list, SYS_gettid,
                                SYS_rt_sigprocmask, SYS_seccomp};

static const int relaying[] = {SYS_ppoll, SYS_shutdown,
#ifdef SYS_poll
                               SYS_poll,
#endif
};

// A filter that is being written.
struct filter {
    struct sock_filter lines[512];
    unsigned short count;
    uint32_t refusal;
};

static void add(struct filter *filter, uint16_t code, uint32_t value, uint8_t yes, uint8_t no) {
    filter->lines[filter->count++] = (struct sock_filter){code, yes, no, value};
}

static void load(struct filter *filter, size_t offset) {
    add(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end(struct filter *filter, uint32_t verdict) {
    add(filter, BPF_RET | BPF_K, verdict, 0, 0);
}

static void allow_all(struct filter *filter, const int *calls, size_t count) {
    for (size_t index = 0; index < count; index++) {
        add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[index], 0, 1);
        end(filter, SECCOMP_RET_ALLOW);
    }
}

#define ALLOW_ALL(filter, calls) allow_all(filter, calls, sizeof(calls) / sizeof(*(calls)))

// The lower or upper half of an argument. Both processors store the lower half first.
#define ARGUMENT(number) (offsetof(struct seccomp_data, args) + 8 * (number))
#define UPPER_HALF(number) (ARGUMENT(number) + 4)

// Allows `call` if the argument, without the bits outside of `mask`, is one of `values`.
static void allow_if(struct filter *filter, int call, size_t argument, uint32_t mask,
                     const uint32_t *values, uint8_t count) {
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, (uint8_t)(4 + count));
    load(filter, argument);
    add(filter, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    for (uint8_t index = 0; index < count; index++)
        add(filter, BPF_JMP | BPF_JEQ | BPF_K, values[index], (uint8_t)(count - index), 0);
    end(filter, filter->refusal);
    end(filter, SECCOMP_RET_ALLOW);
}

#define ALLOW_IF(filter, call, argument, mask, ...)                             \
    do {                                                                        \
        const uint32_t values[] = {__VA_ARGS__};                                \
        allow_if(filter, call, argument, mask, values,                          \
                 (uint8_t)(sizeof(values) / sizeof(*values)));                  \
    } while (0)

static void allow_serving(struct filter *filter) {
    ALLOW_ALL(filter, serving);
    // Threads, and no process. The flags of clone3 are in memory, where a filter can't read them:
    // without it the C library uses clone.
    ALLOW_IF(filter, SYS_clone, ARGUMENT(0), CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNS,
             CLONE_THREAD);
    // No memory is executable that was not at the start.
    ALLOW_IF(filter, SYS_mmap, ARGUMENT(2), PROT_EXEC, 0);
    ALLOW_IF(filter, SYS_mprotect, ARGUMENT(2), PROT_EXEC, 0);
    ALLOW_IF(filter, SYS_socket, ARGUMENT(0), ~0u, AF_UNIX);
    ALLOW_IF(filter, SYS_socketpair, ARGUMENT(0), ~0u, AF_UNIX);
    // KVM's requests: the second byte is KVMIO of linux/kvm.h.
    ALLOW_IF(filter, SYS_ioctl, ARGUMENT(1), 0xff00, 0xae00);
    ALLOW_IF(filter, SYS_prctl, ARGUMENT(0), ~0u, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA,
             PR_GET_PDEATHSIG);
    // Signals to threads of its own, as vCPUs need them.
    ALLOW_IF(filter, SYS_tgkill, ARGUMENT(0), ~0u, (uint32_t)getpid());
    ALLOW_IF(filter, SYS_kill, ARGUMENT(0), ~0u, (uint32_t)getpid());
    // No signal to another process, by way of a descriptor that has an owner.
    ALLOW_IF(filter, SYS_fcntl, ARGUMENT(1), ~0u, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD,
             F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_ADD_SEALS, F_GET_SEALS);
    // Reads a limit: the address of a new one is NULL, or below all memory of this process.
    ALLOW_IF(filter, SYS_prlimit64, UPPER_HALF(2), ~0u, 0);
#ifdef SYS_getrlimit
    const int older[] = {SYS_getrlimit};
    ALLOW_ALL(filter, older);
#endif
    char *coverage = clinux_coverage_directory();
    // The runtime of such a build creates the directory, which exists.
    const int creating[] = {SYS_mkdirat,
#ifdef SYS_mkdir
                            SYS_mkdir,
#endif
    };
    if (coverage != NULL) ALLOW_ALL(filter, creating);
}

static void allow_receiving(struct filter *filter) {
    ALLOW_ALL(filter, receiving);
    ALLOW_ALL(filter, relaying);
    // Does not reach the file system of a descriptor that is no memory file.
    ALLOW_IF(filter, SYS_fcntl, ARGUMENT(1), ~0u, F_GET_SEALS);
    ALLOW_IF(filter, SYS_socketpair, ARGUMENT(0), ~0u, AF_UNIX);
    // A process without flags but for what fork(3) gives: its exit signal and its thread's number.
    ALLOW_IF(filter, SYS_clone, ARGUMENT(0), CLONE_VM | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID,
             0);
    ALLOW_IF(filter, SYS_prctl, ARGUMENT(0), ~0u, PR_SET_NAME, PR_SET_NO_NEW_PRIVS);
}

int clinux_filter_calls(int process, int kills) {
    struct filter filter = {
        .refusal = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM};
    load(&filter, offsetof(struct seccomp_data, arch));
    add(&filter, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    end(&filter, SECCOMP_RET_KILL_PROCESS);
    load(&filter, offsetof(struct seccomp_data, nr));
    ALLOW_ALL(&filter, everywhere);
    add(&filter, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    end(&filter, SECCOMP_RET_ERRNO | ENOSYS);
    if (process == CLINUX_SERVES) allow_serving(&filter);
    if (process == CLINUX_LAUNCHES) ALLOW_ALL(&filter, launching);
    if (process == CLINUX_LAUNCHES || process == CLINUX_RECEIVES) allow_receiving(&filter);
    if (process == CLINUX_RELAYS) ALLOW_ALL(&filter, relaying);
    end(&filter, filter.refusal);
    struct sock_fprog program = {.len = filter.count, .filter = filter.lines};
    // Without the third flag some kernels slow the whole process down against speculation, which
    // protects a process from its own code.
    unsigned int flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    long status = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    // The number of a thread that has another filter.
    if (status > 0) return -EBUSY;
    return status < 0 ? -errno : 0;
}

#else
int clinux_filter_calls(int process, int kills) {
    (void)process;
    (void)kills;
    return -ENOTSUP;
}
#endif
