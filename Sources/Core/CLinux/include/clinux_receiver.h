// Processes that receive the descriptors of peers.
//
// Closing a descriptor that a peer passed may never return: a FUSE file system need not reply, and
// a TCP socket may linger. So no such descriptor enters the process that serves. A launcher, forked
// before the first thread, starts a receiver for a connection. The receiver passes on sealed memory
// files, which never block, and closes everything else. A passed Unix stream stays with it: the
// process that serves gets the end of another one, and what it sends there goes through a relay.
//
// Each function returns the call's value or -errno. Plain types only, as in clinux.h.
#ifndef CLINUX_RECEIVER_H
#define CLINUX_RECEIVER_H

#include <stddef.h>

// What stands for a descriptor that is not passed on: it is no memory file, or a memory file that
// is not sealed against shrinking.
#define CLINUX_NOT_MEMORY (-1)
#define CLINUX_NOT_SEALED (-2)

// Forks the launcher, which ends when the returned channel is closed. Call it before the first
// thread. The launcher holds no descriptor of this process but its end of the channel. `confined` is
// CLINUX_UNCONFINED, CLINUX_STANDARD or CLINUX_STRICT of clinux_sandbox.h.
int clinux_launcher(int confined);

// Starts the receiver of `socket`. Stores its control channel, and a pidfd of its process. The
// receiver ends when the control channel is closed; it then closes its copy of `socket`.
int clinux_launch(int launcher, int socket, int *control, int *process);

// recvmsg(2) with MSG_PEEK and no room for descriptors. `hasDescriptors` is 1 if any came with the
// last of these bytes. With `wait` 0 it returns -EAGAIN where it would block.
long clinux_peek(int socket, void *buffer, size_t size, int wait, int *hasDescriptors);

// recv(2) of bytes that were peeked and have no descriptors.
long clinux_receive_peeked(int socket, void *buffer, size_t size);

// As clinux_receive, in the receiver's process. A descriptor that is not passed on is negative.
// Returns -ETIMEDOUT if the receiver does not reply within this time.
long clinux_receive_through(int control, void *buffer, size_t size, int *descriptors,
                            int *descriptorCount, int *truncated, int milliseconds);

// poll(2): 1 if a descriptor can be read, its other end has gone or its process has ended by then, 0
// if not.
int clinux_is_ready(int descriptor, int milliseconds);
// pidfd_send_signal(2), SIGKILL.
int clinux_kill(int process);

#endif
