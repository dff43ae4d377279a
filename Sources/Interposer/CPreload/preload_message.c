// vhost-user messages by which a VMM sends a memory table to a device process. What was asked before
// such a message is committed first. The bytes are not touched, and a false match only commits early.
#include "preload.h"
#include <sys/socket.h>
#include <sys/uio.h>

#define HEADER_SIZE 12u

static ssize_t early_sendmsg(int file, const struct msghdr *message, int flags) {
    return syscall(SYS_sendmsg, file, message, flags);
}

static ssize_t early_send(int file, const void *bytes, size_t size, int flags) {
    return syscall(SYS_sendto, file, bytes, size, flags, 0, 0);
}

static ssize_t early_write(int file, const void *bytes, size_t size) {
    return syscall(SYS_write, file, bytes, size);
}

static ssize_t early_writev(int file, const struct iovec *vectors, int count) {
    return syscall(SYS_writev, file, vectors, count);
}

static ssize_t (*real_sendmsg)(int, const struct msghdr *, int) = early_sendmsg;
static ssize_t (*real_send)(int, const void *, size_t, int) = early_send;
static ssize_t (*real_write)(int, const void *, size_t) = early_write;
static ssize_t (*real_writev)(int, const struct iovec *, int) = early_writev;

__attribute__((constructor)) static void find_calls(void) {
    real_sendmsg = preload_following("sendmsg", early_sendmsg);
    real_send = preload_following("send", early_send);
    real_write = preload_following("write", early_write);
    real_writev = preload_following("writev", early_writev);
}

// Copies the header of a message, which may be split over vectors. Returns whether there is one.
static int read_header(uint32_t *words, const struct iovec *vectors, size_t count) {
    size_t have = 0;
    for (size_t i = 0; i < count && i < HEADER_SIZE && have < HEADER_SIZE; i++) {
        struct iovec vector;
        if (cpreload_read(&vector, &vectors[i], sizeof vector) < 0) return 0;
        size_t size = HEADER_SIZE - have;
        if (vector.iov_len < size) size = vector.iov_len;
        if (size && cpreload_read((char *)words + have, vector.iov_base, size) < 0) return 0;
        have += size;
    }
    return have == HEADER_SIZE;
}

// SET_MEM_TABLE of up to 8 regions, ADD_MEM_REG or REM_MEM_REG: of version 1, and not a reply.
static int is_table(const uint32_t *words) {
    if ((words[1] & 7) != 1) return 0;
    if (words[0] == 37 || words[0] == 38) return words[2] == 40;
    return words[0] == 5 && words[2] >= 8 && words[2] <= 8 + 8 * 32 && (words[2] - 8) % 32 == 0;
}

static int is_unix_stream(int file) {
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    return getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX
        && getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static void before_message(int file, const struct iovec *vectors, size_t count) {
    uint32_t words[3];
    if (preload_passes_through()) return;
    int before = errno;
    if (read_header(words, vectors, count) && is_table(words) && is_unix_stream(file))
        preload_settle_all(CRUN_BY_TABLE);
    errno = before;
}

PRELOAD_EXPORT ssize_t sendmsg(int file, const struct msghdr *message, int flags) {
    struct msghdr copy;
    if (PRELOAD_RARELY(preload_pending) && cpreload_read(&copy, message, sizeof copy) == 0)
        before_message(file, copy.msg_iov, copy.msg_iovlen);
    return real_sendmsg(file, message, flags);
}

PRELOAD_EXPORT ssize_t send(int file, const void *bytes, size_t size, int flags) {
    struct iovec vector = {(void *)bytes, size};
    if (PRELOAD_RARELY(preload_pending)) before_message(file, &vector, 1);
    return real_send(file, bytes, size, flags);
}

PRELOAD_EXPORT ssize_t write(int file, const void *bytes, size_t size) {
    struct iovec vector = {(void *)bytes, size};
    if (PRELOAD_RARELY(preload_pending)) before_message(file, &vector, 1);
    return real_write(file, bytes, size);
}

PRELOAD_EXPORT ssize_t writev(int file, const struct iovec *vectors, int count) {
    if (PRELOAD_RARELY(preload_pending)) before_message(file, vectors, (size_t)count);
    return real_writev(file, vectors, count);
}
