"""Passes files to a daemon whose ``close()`` never returns:

    hang.py SOCKET UID COUNT leave|''

They are of a file system that does not reply to FLUSH. Each goes over a connection of its own, as
user UID. Prints "done", and ends with its input; with "leave" the connections end before. Needs root
and /dev/fuse.
"""

import array
import os
import socket
import sys

from fuse import mount, unmount
from kernel import connect


def main() -> None:
    path, uid, count, leaves = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    target = mount()
    connections = []
    for _ in range(count):
        connection = connect(path, uid)
        files = array.array("i", [os.open(target, os.O_RDONLY)])
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
        connection.sendmsg([b'{"id":1,"method":"server.info"}\n'], passed)
        connections.append(connection)
    for connection in connections:
        connection.makefile().readline()
        if leaves:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
    print("done", flush=True)
    sys.stdin.read()
    unmount(target)


main()
