// Preloaded into a daemon. When the first peer has connected, makes calls that a daemon never needs,
// and writes "escape NAME ERRNO" for each to standard error; 0 for a call that succeeded.
//
//   ESCAPE=NAME     only this call
//   ESCAPE_FILE=F   a file of the daemon's user that the daemon does not use
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long fork_and_wait(void) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    return child < 0 ? -1 : waitpid(child, NULL, 0);
}

static long reopen(const char *path, int flags) {
    int file = open(path, flags, 0600);
    if (file >= 0) close(file);
    return file;
}

static long executable_mapping(int late) {
    int first = late ? PROT_READ : PROT_READ | PROT_EXEC;
    void *page = mmap(NULL, 4096, first, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return -1;
    return late ? mprotect(page, 4096, PROT_READ | PROT_EXEC) : 0;
}

static void attempt(const char *name, long (*call)(void)) {
    const char *only = getenv("ESCAPE");
    if (only && strcmp(only, name) != 0) return;
    errno = 0;
    dprintf(2, "escape %s %d\n", name, call() < 0 ? errno : 0);
}

static const char *file(void) { return getenv("ESCAPE_FILE"); }
static long try_read(void) { return reopen(file(), O_RDONLY); }
static long try_write(void) { return reopen(file(), O_WRONLY); }
static long try_remove(void) { return unlinkat(AT_FDCWD, file(), 0); }
static long try_create(void) {
    char path[256];
    snprintf(path, sizeof path, "%s.more", file());
    return reopen(path, O_WRONLY | O_CREAT);
}
static long try_device(void) { return reopen("/dev/zero", O_RDWR); }
static long try_internet(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static long try_netlink(void) { return socket(AF_NETLINK, SOCK_RAW, 0); }
static long try_fork(void) { return fork_and_wait(); }
static long try_execute(void) { return execl("/nonexistent", "x", (char *)NULL); }
static long try_trace(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0); }
static long try_executable(void) { return executable_mapping(0); }
static long try_executable_later(void) { return executable_mapping(1); }
static long try_signal(void) { return kill(getppid(), 0); }
static long try_owner(void) { return fcntl(0, F_SETOWN, getpid()); }
static long try_terminal(void) { return ioctl(0, TIOCSTI, "x"); }
static long try_limit(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    return setrlimit(RLIMIT_CORE, &limit);
}
static long try_namespace(void) { return syscall(SYS_unshare, 0); }
static long try_node(void) { return syscall(SYS_mknodat, AT_FDCWD, file(), S_IFIFO | 0600, 0); }
static long try_memory_of_others(void) {
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags) {
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    static atomic_flag done;
    int peer = real(socket, address, length, flags);
    if (peer < 0 || atomic_flag_test_and_set(&done)) return peer;
    attempt("read", try_read);
    attempt("write", try_write);
    attempt("create", try_create);
    attempt("device", try_device);
    attempt("internet", try_internet);
    attempt("netlink", try_netlink);
    attempt("fork", try_fork);
    attempt("execute", try_execute);
    attempt("trace", try_trace);
    attempt("executable", try_executable);
    attempt("executable-later", try_executable_later);
    attempt("signal", try_signal);
    attempt("owner", try_owner);
    attempt("terminal", try_terminal);
    attempt("limit", try_limit);
    attempt("namespace", try_namespace);
    attempt("node", try_node);
    attempt("memory-of-others", try_memory_of_others);
    attempt("remove", try_remove);
    return peer;
}
