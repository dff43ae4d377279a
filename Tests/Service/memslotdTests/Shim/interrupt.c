// Preloaded into a daemon. Kills it at its n-th call that changes a file, creates a name or sends a
// message, or makes such calls fail.
//
//   INTERRUPT_KILL=n   SIGKILL in place of the n-th call
//   INTERRUPT_TEAR=n   SIGKILL in the middle of the n-th write to a file
//   INTERRUPT_FAIL=n   the n-th call on files fails, and so do the next INTERRUPT_TIMES - 1 (1)
//   INTERRUPT_ERRNO=e  with this number (ENOSPC)
//   INTERRUPT_ONLY=c   count calls of this name alone, such as renameat2
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static long number_of(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

// Returns 0 if a call may go on, or the errno that it fails with.
static int admit(const char *call, int onFiles) {
    static atomic_long all, files;
    const char *only = getenv("INTERRUPT_ONLY");
    if (only && strcmp(only, call) != 0) return 0;
    if (atomic_fetch_add(&all, 1) + 1 == number_of("INTERRUPT_KILL", 0)) {
        kill(getpid(), SIGKILL);
        pause();
    }
    long first = number_of("INTERRUPT_FAIL", 0);
    if (!onFiles || first == 0) return 0;
    long index = atomic_fetch_add(&files, 1) + 1;
    int fails = index >= first && index < first + number_of("INTERRUPT_TIMES", 1);
    return fails ? (int)number_of("INTERRUPT_ERRNO", ENOSPC) : 0;
}

// The log is a file too, but does not count.
static int is_file(int descriptor) {
    struct stat status;
    return descriptor > 2 && fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(call, onFiles)                  \
    do {                                       \
        int refusal = admit(call, onFiles);    \
        if (refusal) return errno = refusal, -1; \
    } while (0)

ssize_t write(int descriptor, const void *bytes, size_t count) {
    static atomic_long writes;
    if (!is_file(descriptor)) return REAL(write)(descriptor, bytes, count);
    REFUSE("write", 1);
    if (atomic_fetch_add(&writes, 1) + 1 == number_of("INTERRUPT_TEAR", 0)) {
        REAL(write)(descriptor, bytes, count / 2);
        kill(getpid(), SIGKILL);
        pause();
    }
    return REAL(write)(descriptor, bytes, count);
}

int fsync(int descriptor) {
    REFUSE("fsync", 1);
    return REAL(fsync)(descriptor);
}

int ftruncate(int descriptor, off_t size) {
    REFUSE("ftruncate", 1);
    return REAL(ftruncate)(descriptor, size);
}

int openat(int directory, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    if (directory >= 0) REFUSE("openat", 1);
    return REAL(openat)(directory, path, flags, mode);
}

int renameat(int from, const char *name, int to, const char *other) {
    REFUSE("renameat", 1);
    return REAL(renameat)(from, name, to, other);
}

int renameat2(int from, const char *name, int to, const char *other, unsigned int flags) {
    REFUSE("renameat2", 1);
    return REAL(renameat2)(from, name, to, other, flags);
}

int linkat(int from, const char *name, int to, const char *other, int flags) {
    REFUSE("linkat", 1);
    return REAL(linkat)(from, name, to, other, flags);
}

int unlinkat(int directory, const char *name, int flags) {
    REFUSE("unlinkat", 1);
    return REAL(unlinkat)(directory, name, flags);
}

int mkdir(const char *path, mode_t mode) {
    REFUSE("mkdir", 1);
    return REAL(mkdir)(path, mode);
}

int flock(int descriptor, int operation) {
    REFUSE("flock", 1);
    return REAL(flock)(descriptor, operation);
}

int unlink(const char *path) {
    REFUSE("unlink", 0);
    return REAL(unlink)(path);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
    REFUSE("bind", 0);
    return REAL(bind)(descriptor, address, length);
}

int listen(int descriptor, int backlog) {
    REFUSE("listen", 0);
    return REAL(listen)(descriptor, backlog);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    REFUSE("sendmsg", 0);
    return REAL(sendmsg)(descriptor, message, flags);
}
