// A server that echoes lines, and the client of both servers.
#ifndef YS_SOCKET_H
#define YS_SOCKET_H

#include <stddef.h>
#include <stdint.h>

// Starts the echo server as a child process with blocking reads and writes on one end of a socket
// pair. Returns its process id, and the other end in `descriptor`, or minus errno.
int ys_echo_start(int *descriptor);

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
