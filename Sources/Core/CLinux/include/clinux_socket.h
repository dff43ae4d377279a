// Unix sockets, and descriptors over them.
//
// Each function returns what the call returns, or -errno. EINTR is tried again. Declarations of
// plain types only: the system's headers, read here with other macros than Swift's own module of
// them was, would define some types twice and differently.
#ifndef CLINUX_SOCKET_H
#define CLINUX_SOCKET_H

#include <stddef.h>

// The most descriptors that one message may bring: a control buffer of exactly this many makes the
// kernel drop the next, and say so by MSG_CTRUNC.
#define CLINUX_DESCRIPTORS 16

// recvmsg(2). Puts the descriptors that came, close-on-exec, in `descriptors`, which has room for
// CLINUX_DESCRIPTORS, and their number in `descriptorCount`; `truncated` is 1 after MSG_CTRUNC.
long clinux_receive(int socket, void *buffer, size_t size, int *descriptors, int *descriptorCount,
                    int *truncated);

// sendmsg(2) with up to CLINUX_DESCRIPTORS descriptors; never raises SIGPIPE. With `wait` 0 it
// answers -EAGAIN where it would block.
long clinux_send(int socket, const void *buffer, size_t size, const int *descriptors,
                 int descriptorCount, int wait);

// socket(2) of a Unix stream, close-on-exec.
int clinux_stream_socket(void);

// socket(2) of Unix datagrams, close-on-exec.
int clinux_datagram_socket(void);

// The most bytes of a path that a socket's address holds, without its end.
size_t clinux_path_limit(void);

// bind(2) to a path. One that begins with '@' is abstract.
int clinux_bind(int socket, const char *path);

// connect(2) to a path. One that begins with '@' is abstract.
int clinux_connect(int socket, const char *path);

// accept4(2), close-on-exec.
int clinux_accept(int socket);

// SO_PEERCRED: who connected, as the kernel saw it then.
int clinux_peer(int socket, unsigned int *user, unsigned int *group, int *process);

// SO_PEERGROUPS: the peer's supplementary groups. Returns how many there are; at most `room` are
// written, and -ERANGE is answered if there are more.
int clinux_peer_groups(int socket, unsigned int *groups, unsigned int room);

// Whether `descriptor` is a socket; 1 or 0.
int clinux_is_socket(int descriptor);

// Whether `descriptor` is a listening stream socket of the Unix family; 1 or 0.
int clinux_is_listening(int descriptor);

// eventfd(2), close-on-exec.
int clinux_eventfd(void);

#endif
