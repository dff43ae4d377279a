"""What the kernel says about the daemon, and what it does for hostile peers."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, List


@dataclass(frozen=True)
class Usage:
    """What a process has."""

    anonymous: int
    """Bytes of anonymous memory, from ``smaps_rollup``."""
    descriptors: int
    threads: int
    receivers: int
    """Processes that receive the descriptors of its connections."""

    @classmethod
    def of(cls, pid: int) -> Usage:
        """:raises ProcessLookupError: it has ended."""
        try:
            folder = f"/proc/{pid}"
            with open(folder + "/smaps_rollup", encoding="ascii") as file:
                anonymous = int(re.findall(r"^Anonymous: *(\d+) kB", file.read(), re.M)[0]) << 10
            # The daemon's only child starts the receivers.
            receivers = [one for child in _children(pid) for one in _children(child)]
            return cls(
                anonymous=anonymous,
                descriptors=len(os.listdir(folder + "/fd")),
                threads=len(os.listdir(folder + "/task")),
                receivers=len(receivers),
            )
        except (FileNotFoundError, IndexError) as error:
            raise ProcessLookupError(f"memslotd (process {pid}) has ended") from error


def _children(pid: int) -> List[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """In the block this process is `uid`: the kernel records who connects."""
    own = os.geteuid()
    if uid != own:
        os.seteuid(uid)
    try:
        yield
    finally:
        if uid != own:
            os.seteuid(own)


def sealed_memory(uid: int) -> int:
    """A descriptor of memory that ``memory.create`` accepts from `uid`."""
    with acting_as(uid):
        memory = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 4096)
    fcntl.fcntl(memory, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
    return memory


def connect(path: str, uid: int) -> socket.socket:
    """A connection of `uid`, which is never trusted and so checks no server."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With a time limit of Python's own a full backlog would be an error, and not a wait.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 60, 0))
    with acting_as(uid):
        connection.connect(path)
    connection.settimeout(60)
    return connection


class LingeringSocket:
    """A TCP socket with unsent bytes: its last ``close()`` waits for a peer that never reads."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socket = socket.create_connection(self._listener.getsockname())
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.send(bytes(1 << 20))
        except BlockingIOError:
            pass

    def fileno(self) -> int:
        return self._socket.fileno()

    def close_own(self) -> None:
        """Closes this process's copy, once another has one."""
        self._socket.close()

    def reset(self) -> None:
        """Lets whoever waits in ``close()`` go on."""
        self._listener.close()
