"""Passes files to a daemon whose ``close()`` never returns:

    hang.py SOCKET UID COUNT leave|''

They are of a file system that does not reply to FLUSH. Each goes over a connection of its own, as
user UID. Prints "done", and ends with its input; with "leave" the connections end before. Needs root
and /dev/fuse.
"""

import array
import ctypes
import os
import select
import socket
import struct
import sys
import tempfile

from kernel import connect

libc = ctypes.CDLL(None, use_errno=True)


def check(status: int) -> None:
    """:raises OSError: a call of the C library failed."""
    if status != 0:
        raise OSError(ctypes.get_errno(), "the file system can't be mounted")


def serve(device: int) -> None:
    """Replies to what opening a file needs, until the input ends. The end frees who hangs."""
    while True:
        ready, _, _ = select.select([device, 0], [], [])
        if 0 in ready:
            os._exit(0)
        request = os.read(device, 1 << 17)
        opcode, unique = struct.unpack_from("<xxxxIQ", request)
        if opcode == 26:  # INIT
            body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0, *[0] * 7)
        elif opcode == 3:  # GETATTR
            attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, *[0] * 3, 0o100600, 1, *[0] * 5)
            body = struct.pack("<QII", 0, 0, 0) + attributes
        elif opcode == 14:  # OPEN
            body = struct.pack("<QII", 1, 0, 0)
        else:
            continue
        os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


def mount() -> str:
    """Mounts the file system over a file, for this process alone, and returns the file's path."""
    device = os.open("/dev/fuse", os.O_RDWR)
    check(libc.unshare(0x20000))  # CLONE_NEWNS
    check(libc.mount(None, b"/", None, 1 << 14 | 1 << 18, None))  # MS_REC | MS_PRIVATE
    target, path = tempfile.mkstemp()
    os.close(target)
    options = f"fd={device},rootmode=100000,user_id=0,group_id=0".encode()
    check(libc.mount(b"hanging", path.encode(), b"fuse", 6, options))
    # A process of its own, which has none of the files: its end must not wait for itself.
    if os.fork() == 0:
        serve(device)
    os.close(device)
    return path


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
    check(libc.umount2(target.encode(), 2))  # MNT_DETACH
    os.unlink(target)


main()
