"""A file whose ``close()`` never returns: its file system does not reply to FLUSH. Needs root and
/dev/fuse."""

import ctypes
import os
import select
import struct
import tempfile

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


def unmount(path: str) -> None:
    """Removes the file of `mount`."""
    check(libc.umount2(path.encode(), 2))  # MNT_DETACH
    os.unlink(path)
