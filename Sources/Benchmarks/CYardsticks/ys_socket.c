#include "yardsticks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_all(int descriptor, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = send(descriptor, bytes, count, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return -errno;
        bytes += written;
        count -= (size_t)written;
    }
    return 0;
}

static void echo(int descriptor) {
    static uint8_t buffer[1 << 16];
    for (;;) {
        ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0 || write_all(descriptor, buffer, (size_t)count) < 0) _exit(0);
    }
}

int ys_echo_start(int *descriptor) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
    int process = fork();
    if (process < 0) return -errno;
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, SIG_DFL);
        // The child must not keep inherited connections open.
        for (int other = 3; other < 1024; other++)
            if (other != ends[1]) close(other);
        echo(ends[1]);
    }
    close(ends[1]);
    *descriptor = ends[0];
    return process;
}

static int64_t read_line(int descriptor, uint8_t *room, size_t size) {
    size_t count = 0;
    for (;;) {
        ssize_t got = recv(descriptor, room + count, size - count, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) return -ECONNRESET;
        count += (size_t)got;
        if (room[count - 1] == '\n') return (int64_t)count - 1;
        if (count == size) return -EMSGSIZE;
    }
}

int64_t ys_pipelined(
    int descriptor, const uint8_t *line, size_t length, size_t count, size_t depth) {
    static uint8_t room[1 << 16];
    uint8_t *lines = malloc(length * depth);
    if (lines == NULL) return -ENOMEM;
    for (size_t i = 0; i < depth; i++) memcpy(lines + i * length, line, length);
    size_t sent = 0, answered = 0;
    int64_t status = 0;
    uint64_t start = ys_now();
    while (answered < count) {
        size_t more = depth - (sent - answered);
        if (more > count - sent) more = count - sent;
        if (more > 0) status = write_all(descriptor, lines, more * length);
        if (status < 0) break;
        sent += more;
        ssize_t got = recv(descriptor, room, sizeof room, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            status = got < 0 ? -errno : -ECONNRESET;
            break;
        }
        for (ssize_t i = 0; i < got; i++) answered += room[i] == '\n';
    }
    free(lines);
    return status < 0 ? status : (int64_t)(ys_now() - start);
}

int64_t ys_exchange(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room) {
    int status = write_all(descriptor, bytes, length);
    return status < 0 ? status : read_line(descriptor, reply, room);
}

int64_t ys_exchange_large(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room) {
    size_t sent = 0, got = 0;
    if (length > room) return -EMSGSIZE;
    while (got < length) {
        struct pollfd ready = {
            .fd = descriptor, .events = (short)(POLLIN | (sent < length ? POLLOUT : 0))};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR) return -errno;
        if (ready.revents & POLLIN) {
            ssize_t count = recv(descriptor, reply + got, room - got, MSG_DONTWAIT);
            if (count == 0) return -ECONNRESET;
            if (count < 0 && errno != EAGAIN && errno != EINTR) return -errno;
            if (count > 0) got += (size_t)count;
        }
        if (ready.revents & POLLOUT) {
            ssize_t count =
                send(descriptor, bytes + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count < 0 && errno != EAGAIN && errno != EINTR) return -errno;
            if (count > 0) sent += (size_t)count;
        }
    }
    return (int64_t)got;
}
