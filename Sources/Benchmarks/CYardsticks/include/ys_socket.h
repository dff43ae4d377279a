// Child processes, a server that echoes lines, and the client of both servers.
#ifndef YS_SOCKET_H
#define YS_SOCKET_H

#include <stddef.h>
#include <stdint.h>

// Starts a program with its output discarded. It is killed when this process ends. Returns its id,
// or minus errno.
int ys_start(const char *path, char *const arguments[]);

// Sends SIGTERM to a process and waits for it. Returns its exit status, or minus the signal.
int ys_end(int process);

// Waits for the end of a process. Returns its exit status, or minus the signal.
int ys_wait(int process);

// Whether a process that was started here still runs. Reaps it if not.
int ys_is_running(int process);

// Starts the echo server as a child process with blocking reads and writes on one end of a socket
// pair. Returns its process id, and the other end in `descriptor`, or minus errno.
int ys_echo_start(int *descriptor);

// Connects to a Unix socket. Returns the descriptor, or minus errno.
int ys_connect(const char *path);

// Sends a line and reads the reply, `count` times, one in flight. Stores the nanoseconds of each in
// `spans`. Returns 0, or minus errno.
int ys_round_trips(
    int descriptor, const uint8_t *line, size_t length, size_t count, uint64_t *spans);

// Sends `count` lines with at most `depth` in flight and reads the replies. Returns the total
// nanoseconds, or minus errno.
int64_t ys_pipelined(
    int descriptor, const uint8_t *line, size_t length, size_t count, size_t depth);

// Sends bytes and reads one line into `reply`. Returns its length without the newline, or minus
// errno.
int64_t ys_exchange(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room);

// As ys_exchange, but reads while it writes, for a server that replies before it has read all.
int64_t ys_exchange_large(
    int descriptor, const uint8_t *bytes, size_t length, uint8_t *reply, size_t room);

#endif
