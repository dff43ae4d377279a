// Starting other programs, as little as a benchmark needs.
#ifndef YS_SOCKET_H
#define YS_SOCKET_H

#include <stddef.h>
#include <stdint.h>

// Starts a program with its output thrown away; it ends with this process. Returns its id, or
// minus errno.
int ys_start(const char *path, char *const arguments[]);

// Ends a process by SIGTERM, and waits for it. Returns its exit status, or minus the signal.
int ys_end(int process);

// Waits for the end of a process. Returns its exit status, or minus the signal.
int ys_wait(int process);

// Whether a process that was started here still runs. Takes its end note.
int ys_is_running(int process);

// MARK: A server that answers lines with themselves, and the client that both servers are asked by

// Starts the echo server as a process of its own: blocking reads and writes on one end of a socket
// pair. Returns its process id and the other end in `descriptor`, or minus errno.
int ys_echo_start(int *descriptor);

// Connects to a Unix socket. Returns the descriptor, or minus errno.
int ys_connect(const char *path);

// Sends a line and reads its answer, `count` times, one in flight. `spans` gets the nanoseconds of
// each. Returns 0, or minus errno.
int ys_round_trips(
    int descriptor, const uint8_t *line, size_t length, size_t count, uint64_t *spans);

// Sends `count` lines with at most `depth` in flight, and reads their answers. Returns the
// nanoseconds of all, or minus errno.
int64_t ys_pipelined(
    int descriptor, const uint8_t *line, size_t length, size_t count, size_t depth);

// Sends bytes and reads one line. Returns its length without the end, in `answer` as far as there
// is room, or minus errno.
int64_t ys_exchange(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *answer, size_t room);

// As ys_exchange, but reads while it writes, for a server that answers before it has read all.
int64_t ys_exchange_large(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *answer, size_t room);

#endif
