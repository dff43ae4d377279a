// Unix sockets, and descriptors over them.
//
// Each function returns what the call returns, or -errno. EINTR is tried again.
#ifndef CLINUX_SOCKET_H
#define CLINUX_SOCKET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

// The most descriptors that one message may bring: a control buffer of exactly this many makes the
// kernel drop the next, and say so by MSG_CTRUNC.
#define CLINUX_DESCRIPTORS 16

// recvmsg(2). Puts the descriptors that came, close-on-exec, in `descriptors`, which has room for
// CLINUX_DESCRIPTORS, and their number in `descriptorCount`; `truncated` is 1 after MSG_CTRUNC.
static inline ssize_t clinux_receive(int socket, void *buffer, size_t size, int *descriptors,
                                     int *descriptorCount, int *truncated) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_DESCRIPTORS)];
        struct cmsghdr alignment;
    } control;
    struct iovec vector = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count;
    *descriptorCount = 0;
    *truncated = 0;
    do
        count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t bytes = header->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes && *descriptorCount < CLINUX_DESCRIPTORS;
             at += sizeof(int)) {
            memcpy(&descriptors[*descriptorCount], CMSG_DATA(header) + at, sizeof(int));
            *descriptorCount += 1;
        }
    }
    return count;
}

// sendmsg(2) with up to CLINUX_DESCRIPTORS descriptors; never raises SIGPIPE.
static inline ssize_t clinux_send(int socket, const void *buffer, size_t size,
                                  const int *descriptors, int descriptorCount, int flags) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_DESCRIPTORS)];
        struct cmsghdr alignment;
    } control;
    struct iovec vector = {.iov_base = (void *)buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptorCount > CLINUX_DESCRIPTORS) return -EINVAL;
    if (descriptorCount > 0) {
        size_t bytes = sizeof(int) * (size_t)descriptorCount;
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(header), descriptors, bytes);
    }
    ssize_t count;
    do
        count = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

// socket(2) of a Unix stream, close-on-exec.
static inline int clinux_stream_socket(void) {
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return descriptor < 0 ? -errno : descriptor;
}

// socket(2) of Unix datagrams, close-on-exec.
static inline int clinux_datagram_socket(void) {
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return descriptor < 0 ? -errno : descriptor;
}

// The most bytes of a path that a socket's address holds, without its end.
static inline size_t clinux_path_limit(void) {
    return sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
}

// The address of `path`; one that begins with '@' is abstract. Returns its length, 0 if too long.
static inline socklen_t clinux_address(struct sockaddr_un *address, const char *path) {
    size_t length = strlen(path);
    if (length == 0 || length > clinux_path_limit()) return 0;
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (path[0] != '@') return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

// bind(2) to a path.
static inline int clinux_bind(int socket, const char *path) {
    struct sockaddr_un address;
    socklen_t length = clinux_address(&address, path);
    if (length == 0) return -ENAMETOOLONG;
    return bind(socket, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
}

// connect(2) to a path.
static inline int clinux_connect(int socket, const char *path) {
    struct sockaddr_un address;
    socklen_t length = clinux_address(&address, path);
    if (length == 0) return -ENAMETOOLONG;
    int status;
    do
        status = connect(socket, (struct sockaddr *)&address, length);
    while (status < 0 && errno == EINTR);
    return status < 0 ? -errno : 0;
}

// accept4(2), close-on-exec.
static inline int clinux_accept(int socket) {
    int descriptor;
    do
        descriptor = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
    while (descriptor < 0 && errno == EINTR);
    return descriptor < 0 ? -errno : descriptor;
}

// socketpair(2) of Unix streams, close-on-exec.
static inline int clinux_socket_pair(int *pair) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

// SO_PEERCRED: who connected, as the kernel saw it then.
static inline int clinux_peer(int socket, unsigned int *user, unsigned int *group, int *process) {
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *user = credentials.uid;
    *group = credentials.gid;
    *process = credentials.pid;
    return 0;
}

// SO_PEERGROUPS: the peer's supplementary groups. Returns how many there are; at most `room` are
// written, and -ERANGE is answered if there are more.
static inline int clinux_peer_groups(int socket, unsigned int *groups, unsigned int room) {
    socklen_t length = (socklen_t)(room * sizeof(*groups));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
    return (int)(length / sizeof(*groups));
}

// Whether `descriptor` is a socket; 1 or 0.
static inline int clinux_is_socket(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
}

// SO_ACCEPTCONN: whether `descriptor` is a listening stream socket of the Unix family; 1 or 0.
static inline int clinux_is_listening(int descriptor) {
    int listening = 0, family = 0, type = 0;
    socklen_t length = sizeof(int);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0) return 0;
    length = sizeof(int);
    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &length) < 0) return 0;
    length = sizeof(int);
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return 0;
    return listening && family == AF_UNIX && type == SOCK_STREAM;
}

// eventfd(2), close-on-exec.
static inline int clinux_eventfd(void) {
    int descriptor = eventfd(0, EFD_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

#endif
