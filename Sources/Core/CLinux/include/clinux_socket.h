// Unix sockets, and descriptors passed over them.
//
// Each function returns the call's value or -errno, and repeats a call that a signal interrupted.
// Plain types only, as in clinux.h.
#ifndef CLINUX_SOCKET_H
#define CLINUX_SOCKET_H

#include <stddef.h>

// The most descriptors that one message may carry. The control buffer has room for exactly this
// many: the kernel drops a further one and sets MSG_CTRUNC.
#define CLINUX_DESCRIPTORS 16

// recvmsg(2). Stores the received descriptors, close-on-exec, in `descriptors`, which has room for
// CLINUX_DESCRIPTORS, and their number in `descriptorCount`. `truncated` is 1 after MSG_CTRUNC.
long clinux_receive(int socket, void *buffer, size_t size, int *descriptors, int *descriptorCount,
                    int *truncated);

// sendmsg(2) with up to CLINUX_DESCRIPTORS descriptors. Never raises SIGPIPE. With `wait` 0 it
// returns -EAGAIN where it would block.
long clinux_send(int socket, const void *buffer, size_t size, const int *descriptors,
                 int descriptorCount, int wait);

// socket(2) of a Unix stream, and of Unix datagrams; close-on-exec.
int clinux_stream_socket(void);
int clinux_datagram_socket(void);
// The most bytes of a path in a socket's address, without the terminating zero.
size_t clinux_path_limit(void);
// bind(2) and connect(2) to a path. A path that begins with '@' is an abstract address.
int clinux_bind(int socket, const char *path);
int clinux_connect(int socket, const char *path);
// accept4(2), close-on-exec.
int clinux_accept(int socket);
// SO_PEERCRED: the peer's user, group and process at the time it connected.
int clinux_peer(int socket, unsigned int *user, unsigned int *group, int *process);

// SO_PEERGROUPS: the peer's supplementary groups. Returns their number, or -ERANGE for more than
// `room`.
int clinux_peer_groups(int socket, unsigned int *groups, unsigned int room);

// Whether `descriptor` is a socket; a stream socket of the Unix family that listens; one that does
// not. 1 or 0.
int clinux_is_socket(int descriptor);
int clinux_is_listening(int descriptor);
int clinux_is_stream(int descriptor);
// eventfd(2), close-on-exec.
int clinux_eventfd(void);

#endif
