// See the header.
#include "clinux_socket.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include "call.h"

// Room for the control message of CLINUX_DESCRIPTORS descriptors, aligned as one.
union control {
    char bytes[CMSG_SPACE(sizeof(int) * CLINUX_DESCRIPTORS)];
    struct cmsghdr alignment;
};

long clinux_receive(int socket, void *buffer, size_t size, int *descriptors, int *descriptorCount,
                    int *truncated) {
    union control control;
    struct iovec vector = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    *descriptorCount = 0;
    *truncated = 0;
    long count = REPEATED(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    if (count < 0) return count;
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

long clinux_send(int socket, const void *buffer, size_t size, const int *descriptors,
                 int descriptorCount, int wait) {
    union control control;
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
    return REPEATED(sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)));
}

int clinux_stream_socket(void) { return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

int clinux_datagram_socket(void) { return result(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

size_t clinux_path_limit(void) { return sizeof(((struct sockaddr_un *)0)->sun_path) - 1; }

// Stores the address of `path`. Returns its length, or 0 for an empty or too long path.
static socklen_t address_of(struct sockaddr_un *address, const char *path) {
    size_t length = strlen(path);
    if (length == 0 || length > clinux_path_limit()) return 0;
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (path[0] != '@') return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

int clinux_bind(int socket, const char *path) {
    struct sockaddr_un address;
    socklen_t length = address_of(&address, path);
    if (length == 0) return -ENAMETOOLONG;
    return result(bind(socket, (struct sockaddr *)&address, length));
}

int clinux_connect(int socket, const char *path) {
    struct sockaddr_un address;
    socklen_t length = address_of(&address, path);
    if (length == 0) return -ENAMETOOLONG;
    return (int)REPEATED(connect(socket, (struct sockaddr *)&address, length));
}

int clinux_accept(int socket) { return (int)REPEATED(accept4(socket, NULL, NULL, SOCK_CLOEXEC)); }

int clinux_peer(int socket, unsigned int *user, unsigned int *group, int *process) {
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *user = credentials.uid;
    *group = credentials.gid;
    *process = credentials.pid;
    return 0;
}

int clinux_peer_groups(int socket, unsigned int *groups, unsigned int room) {
    socklen_t length = (socklen_t)(room * sizeof(*groups));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
    return (int)(length / sizeof(*groups));
}

int clinux_is_socket(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
}

// The value of a socket's integer option, or -1.
static int option(int descriptor, int name) {
    int value = 0;
    socklen_t length = sizeof(value);
    return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

static int is_unix_stream(int descriptor, int listens) {
    return option(descriptor, SO_ACCEPTCONN) == listens &&
           option(descriptor, SO_DOMAIN) == AF_UNIX && option(descriptor, SO_TYPE) == SOCK_STREAM;
}

int clinux_is_listening(int descriptor) { return is_unix_stream(descriptor, 1); }

int clinux_is_stream(int descriptor) { return is_unix_stream(descriptor, 0); }

int clinux_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC)); }
