// See the header.
#include "clinux_receiver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call.h"
#include "clinux_sandbox.h"
#include "clinux_socket.h"

// The most bytes of one message of a receiver.
#define RECEIVED_BYTES 65536

// What a receiver reports of a recvmsg: its value, its flag, and what each descriptor is. The
// accepted ones are attached; the bytes follow in a message of their own.
struct report {
    int64_t size;
    int32_t truncated;
    int32_t count;
    int32_t kinds[CLINUX_DESCRIPTORS];
};

// MARK: - The processes that are forked. They allocate nothing, and have one thread.

// A stream that a peer passed, until the process that serves sends something to it, or closes it.
struct stream {
    int peer, server;
};

// The most streams of a receiver that wait.
#define WAITING_STREAMS 64
static struct stream waiting[WAITING_STREAMS];
static int waiting_count;

// Returns 0, and what to pass on in place of `descriptor`; otherwise why nothing is passed on.
// F_GET_SEALS is EINVAL, without a call of the file system, for all but memory files.
static int accept_passed(int descriptor, int *accepted) {
    int ends[2], seals = fcntl(descriptor, F_GET_SEALS);
    *accepted = descriptor;
    if (seals >= 0) return seals & F_SEAL_SHRINK ? 0 : CLINUX_NOT_SEALED;
    if (!clinux_is_stream(descriptor) || waiting_count == WAITING_STREAMS ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return CLINUX_NOT_MEMORY;
    waiting[waiting_count++] = (struct stream){descriptor, ends[0]};
    *accepted = ends[1];
    return 0;
}

static long receive_bytes(int socket, void *buffer, size_t size, int flags) {
    return REPEATED(recv(socket, buffer, size, flags));
}

// Set in the launcher's process: one of CLINUX_UNCONFINED, …
static int confinement;

// On a kernel that can't, a process is confined only if it must be, as the one that serves.
static void confine(int process) {
    if (confinement == CLINUX_UNCONFINED) return;
    int kills = confinement == CLINUX_STRICT;
    int status = clinux_no_new_privileges();
    if (status == 0) status = clinux_filter_calls(process, kills);
    if (status < 0 && kills) _exit(1);
}

// Passes on what is sent to a stream with its descriptors, and what the stream's peer sends without:
// no descriptor of a peer reaches the process that serves. That one sends each message with descriptors
// when the former one is answered, so they stay with the first byte of theirs.
static _Noreturn void relay(struct stream stream) {
    static char bytes[RECEIVED_BYTES];
    prctl(PR_SET_NAME, "memslot-relay");
    confine(CLINUX_RELAYS);
    for (;;) {
        struct pollfd entries[] = {{.fd = stream.server, .events = POLLIN},
                                   {.fd = stream.peer, .events = POLLIN}};
        int passed[CLINUX_DESCRIPTORS], count = 0, refused = 0, to = stream.peer;
        long size;
        if (poll(entries, 2, -1) < 0) continue;
        if (entries[0].revents != 0) {
            size = clinux_receive(stream.server, bytes, sizeof(bytes), passed, &count, &refused);
        } else {
            to = stream.server;
            // The peer may have a copy of its socket, and have read or filled it meanwhile.
            size = clinux_peek(stream.peer, bytes, sizeof(bytes), 0, &refused);
            if (size > 0 && !refused)
                size = clinux_receive_peeked(stream.peer, bytes, (size_t)size);
            if (size == -EAGAIN) continue;
        }
        if (size <= 0 || refused) break;
        for (long sent = 0, value; sent < size; sent += value) {
            int number = sent == 0 ? count : 0;
            value = clinux_send(to, bytes + sent, (size_t)(size - sent), passed, number, 0);
            if (value == -EAGAIN) {
                struct pollfd room[] = {{.fd = to, .events = POLLOUT},
                                        {.fd = stream.server, .events = POLLRDHUP}};
                poll(room, 2, -1);
                if (room[1].revents != 0) goto end;
                value = 0;
            } else if (value <= 0) {
                goto end;
            }
        }
        for (int index = 0; index < count; index++) close(passed[index]);
    }
end:
    // `server` stays open until the peer's socket is closed, by which the other process sees that.
    shutdown(stream.peer, SHUT_RDWR);
    close(stream.peer);
    _exit(0);
}

// Ends the wait of a stream.
static void settle(struct stream stream, int socket, int control) {
    char byte;
    if (receive_bytes(stream.server, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 && fork() == 0) {
        close(control);
        close(socket);
        for (int index = 0; index < waiting_count; index++) {
            close(waiting[index].server);
            close(waiting[index].peer);
        }
        relay(stream);
    }
    close(stream.server);
    close(stream.peer);
}

// Waits for a request, and settles streams meanwhile. Returns 0 at the end.
static int wait_for_request(int socket, int control) {
    for (;;) {
        struct pollfd entries[1 + WAITING_STREAMS] = {{.fd = control, .events = POLLIN}};
        for (int index = 0; index < waiting_count; index++)
            entries[1 + index] = (struct pollfd){.fd = waiting[index].server, .events = POLLIN};
        if (poll(entries, 1 + (nfds_t)waiting_count, -1) < 0 && errno != EINTR) return 0;
        for (int index = waiting_count - 1; index >= 0; index--) {
            if (entries[1 + index].revents == 0) continue;
            struct stream stream = waiting[index];
            waiting[index] = waiting[--waiting_count];
            settle(stream, socket, control);
        }
        if (entries[0].revents != 0) return 1;
    }
}

static _Noreturn void receive_for(int socket, int control) {
    static char bytes[RECEIVED_BYTES];
    uint64_t size;
    prctl(PR_SET_NAME, "memslot-receive");
    confine(CLINUX_RECEIVES);
    while (wait_for_request(socket, control) &&
           receive_bytes(control, &size, sizeof(size), 0) == sizeof(size)) {
        struct report report = {0};
        int passed[CLINUX_DESCRIPTORS], accepted[CLINUX_DESCRIPTORS], number = 0;
        report.size = clinux_receive(socket, bytes, size < sizeof(bytes) ? size : sizeof(bytes),
                                     passed, &report.count, &report.truncated);
        for (int index = 0; index < report.count; index++) {
            report.kinds[index] = accept_passed(passed[index], &accepted[number]);
            if (report.kinds[index] == 0) number++;
        }
        // Before anything is closed: the peer's request must not wait for that.
        if (clinux_send(control, &report, sizeof(report), accepted, number, 1) < 0) break;
        if (report.size > 0 && clinux_send(control, bytes, (size_t)report.size, NULL, 0, 1) < 0)
            break;
        for (int index = 0, next = 0; index < report.count; index++)
            close(report.kinds[index] == 0 ? accepted[next++] : passed[index]);
    }
    while (waiting_count > 0) settle(waiting[--waiting_count], socket, control);
    // Closes what is left in the socket's queue; the process that serves has closed its copy.
    close(socket);
    _exit(0);
}

static int start(int channel, const int *descriptors, int *process) {
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        close(channel);
        receive_for(descriptors[0], descriptors[1]);
    }
    // The child lives as long as its control channel, which the other process holds until it has
    // the reply. So its number is not another process's.
    *process = (int)syscall(SYS_pidfd_open, child, 0);
    if (*process >= 0) return 0;
    int status = -errno;
    kill(child, SIGKILL);
    return status;
}

static _Noreturn void launch_for(int channel) {
    prctl(PR_SET_NAME, "memslot-launch");
    // They end with the process that serves, and must serve its peers until then.
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD};
    for (size_t index = 0; index < sizeof(ignored) / sizeof(*ignored); index++)
        signal(ignored[index], SIG_IGN);
    // The parent of relays, which outlive their receivers.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (channel > 0) syscall(SYS_close_range, 0, channel - 1, 0);
    syscall(SYS_close_range, channel + 1, ~0U, 0);
    confine(CLINUX_LAUNCHES);
    for (;;) {
        char byte;
        int descriptors[CLINUX_DESCRIPTORS], count, truncated, process = -1;
        if (clinux_receive(channel, &byte, 1, descriptors, &count, &truncated) <= 0) _exit(0);
        int status = count == 2 ? start(channel, descriptors, &process) : -EMFILE;
        // None of these is the last reference: the other process holds its own.
        for (int index = 0; index < count; index++) close(descriptors[index]);
        clinux_send(channel, &status, sizeof(status), &process, process >= 0, 1);
        if (process >= 0) close(process);
    }
}

// MARK: - The process that serves

static int channel_pair(int *ends) {
    return result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

int clinux_launcher(int confined) {
    int ends[2];
    int status = channel_pair(ends);
    if (status < 0) return status;
    pid_t child = fork();
    if (child == 0) {
        confinement = confined;
        launch_for(ends[1]);
    }
    status = child < 0 ? -errno : ends[0];
    close(ends[1]);
    if (status < 0) close(ends[0]);
    return status;
}

int clinux_launch(int launcher, int socket, int *control, int *process) {
    int ends[2];
    int status = channel_pair(ends);
    if (status < 0) return status;
    const int passed[] = {socket, ends[1]};
    int descriptors[CLINUX_DESCRIPTORS], count = 0, truncated;
    long size = clinux_send(launcher, "", 1, passed, 2, 1);
    if (size == 1)
        size = clinux_receive(launcher, &status, sizeof(status), descriptors, &count, &truncated);
    close(ends[1]);
    if (size < 0) status = (int)size;
    if (size == 0) status = -ESRCH;
    if (status == 0 && count != 1) status = -EMFILE;
    if (status < 0) {
        close(ends[0]);
        return status;
    }
    *control = ends[0];
    *process = descriptors[0];
    return 0;
}

long clinux_peek(int socket, void *buffer, size_t size, int wait, int *hasDescriptors) {
    struct iovec vector = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    long count = REPEATED(recvmsg(socket, &message, MSG_PEEK | (wait ? 0 : MSG_DONTWAIT)));
    *hasDescriptors = count >= 0 && (message.msg_flags & MSG_CTRUNC) != 0;
    return count;
}

long clinux_receive_peeked(int socket, void *buffer, size_t size) {
    return receive_bytes(socket, buffer, size, MSG_DONTWAIT);
}

int clinux_is_ready(int descriptor, int milliseconds) {
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    int result = REPEATED(poll(&entry, 1, milliseconds));
    return result < 0 ? -errno : result;
}

long clinux_receive_through(int control, void *buffer, size_t size, int *descriptors,
                            int *descriptorCount, int *truncated, int milliseconds) {
    struct report report;
    uint64_t request = size;
    int accepted[CLINUX_DESCRIPTORS], number, lost, next = 0;
    *descriptorCount = 0;
    *truncated = 0;
    long count = clinux_send(control, &request, sizeof(request), NULL, 0, 0);
    if (count < 0) return count;
    if (clinux_is_ready(control, milliseconds) <= 0) return -ETIMEDOUT;
    count = clinux_receive(control, &report, sizeof(report), accepted, &number, &lost);
    if (count != sizeof(report)) return count < 0 ? count : -EPIPE;
    // This process had no room for all of them.
    *truncated = report.truncated || lost;
    for (int index = 0; index < report.count; index++) {
        int isAccepted = report.kinds[index] == 0 && next < number;
        descriptors[index] = isAccepted ? accepted[next++] : report.kinds[index];
        if (!isAccepted && report.kinds[index] == 0) descriptors[index] = CLINUX_NOT_MEMORY;
    }
    *descriptorCount = report.count;
    if (report.size <= 0) return (long)report.size;
    count = receive_bytes(control, buffer, size, 0);
    return count == report.size ? count : -EPIPE;
}

int clinux_kill(int process) {
    return syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}
