"""Where a daemon listens, and whether its user can be trusted."""

from __future__ import annotations

import array
import errno
import os
import socket
import stat
import struct
import time
from typing import List, Mapping, Optional, Sequence, Tuple

from .errors import (
    ConnectError,
    MemslotsError,
    SystemCallError,
    UntrustedServerError,
    bad_argument,
)

RECEIVE_BYTES = 1 << 16
DESCRIPTORS = 16
"""At most that many descriptors go with a line."""


def receive(connection: socket.socket) -> Tuple[bytes, List[int]]:
    """What one ``recvmsg`` returns: bytes, and descriptors that no child inherits.

    ``socket.recv_fds`` ignores the flag for that in several versions of Python.
    """
    room = socket.CMSG_LEN(DESCRIPTORS * 4)
    data, items, _, _ = connection.recvmsg(RECEIVE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in items:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) // 4 * 4])
    return data, list(descriptors)


def check_descriptors(descriptors: Sequence[int]) -> None:
    """Refuses what can't be sent with a line.

    :raises InvalidRequestError: too many, or a number that is no descriptor.
    """
    if len(descriptors) > DESCRIPTORS:
        raise bad_argument(f"a request carries at most {DESCRIPTORS} descriptors", "fds")
    for descriptor in descriptors:
        if not isinstance(descriptor, int):
            raise TypeError(f"a descriptor is an integer, not {descriptor!r}")
        if not 0 <= descriptor < 1 << 31:
            raise bad_argument(f"{descriptor} is no descriptor", "fds")


def refusal(error: OSError, descriptors: Sequence[int]) -> Optional[MemslotsError]:
    """The error of the one request whose descriptors the kernel refused to send, or to duplicate;
    None if the connection broke."""
    if descriptors and error.errno == errno.EBADF:
        refused = bad_argument(f"one of the descriptors {list(descriptors)} is not open", "fds")
        refused.errno = error.errno
        return refused
    if descriptors and error.errno in (errno.ETOOMANYREFS, errno.EMFILE, errno.ENOMEM):
        text = f"the descriptors can't be sent: {error.strerror}"
        return SystemCallError(text, "system", errno=error.errno)
    return None


def default_socket_path(environment: Optional[Mapping[str, str]] = None) -> str:
    """Where memslotd listens by default: ``$MEMSLOTS_SOCKET``; else
    ``$XDG_RUNTIME_DIR/memslots/memslotd.sock``, without that variable ``/run/memslots`` for root and
    ``/tmp/memslots-UID`` for others; and where nobody listens there, the machine's socket in
    ``/run/memslots``, if there is one.

    >>> default_socket_path({"XDG_RUNTIME_DIR": "/run/user/1000"})
    '/run/user/1000/memslots/memslotd.sock'
    """
    environment = os.environ if environment is None else environment
    own = own_socket_path(environment)
    if environment.get("MEMSLOTS_SOCKET") or _is_served(own) or not _is_served(_MACHINE):
        return own
    return _MACHINE


def own_socket_path(environment: Mapping[str, str]) -> str:
    """`default_socket_path` without the machine's."""
    named = environment.get("MEMSLOTS_SOCKET")
    if named:
        return named
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        directory = runtime + "/memslots"
    elif os.geteuid() == 0:
        directory = "/run/memslots"
    else:
        directory = f"/tmp/memslots-{os.geteuid()}"
    return directory + "/memslotd.sock"


_MACHINE = "/run/memslots/memslotd.sock"


def _is_served(path: str) -> bool:
    """Whether somebody listens at the path, also one who refuses us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            return probe.connect_ex(path) not in (errno.ENOENT, errno.ECONNREFUSED)
        except OSError:  # a path that is too long: to connect says so
            return True


def connect(
    path: Optional[str], server_uid: Optional[int], wait: float, timeout: Optional[float]
) -> socket.socket:
    """A connection to a server of root, of our user, of `server_uid`, or of the owner of the socket's
    directory where only root can replace that.

    :param path: None: `default_socket_path`, but the machine's only after the wait.
    :param wait: seconds to try again while nobody listens.
    """
    deadline = time.monotonic() + wait
    while True:
        is_last = time.monotonic() >= deadline
        place = path or (default_socket_path() if is_last else own_socket_path(os.environ))
        try:
            return _connect_once(place, server_uid, timeout)
        except ConnectError as error:
            starting = error.errno in (errno.ENOENT, errno.ECONNREFUSED)
            if not starting or is_last:
                raise
        time.sleep(0.02)


def _connect_once(path: str, server_uid: Optional[int], timeout: Optional[float]) -> socket.socket:
    connection = _open(path, timeout)
    user = _user(connection)
    if user in (0, os.geteuid(), server_uid):
        return connection
    connection.close()
    # Without links, so that the path means the directories that are checked.
    own_path = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    if _only_root_can_replace(os.path.dirname(own_path), user):
        connection = _open(own_path, timeout)
        if _user(connection) == user:
            return connection
        connection.close()
    raise UntrustedServerError(
        f"{path}: user {user} listens there, our user is {os.geteuid()}; server_uid={user} permits it",
        "untrusted-server",
        errno=errno.EPERM,
    )


def _open(path: str, timeout: Optional[float]) -> socket.socket:
    deadline = None if timeout is None else time.monotonic() + timeout
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        while True:
            try:
                connection.connect(path)
                return connection
            except BlockingIOError:
                # The server's queue is full: the kernel has no event for the end of that.
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(
                        errno.ETIMEDOUT, "the server accepts no connection"
                    ) from None
                time.sleep(0.01)
    except OSError as error:
        connection.close()
        raise ConnectError(
            f"{path}: {error.strerror or error}; does memslotd listen there? MEMSLOTS_SOCKET or an"
            " argument names another socket",
            "connect",
            errno=error.errno or errno.EINVAL,
        ) from error


def _user(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    user: int = struct.unpack("3I", credentials)[1]
    return user


def _only_root_can_replace(directory: str, owner: int) -> bool:
    if os.lstat(directory).st_uid != owner:
        return False
    while directory != "/":
        directory = os.path.dirname(directory)
        status = os.lstat(directory)
        if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISDIR(status.st_mode):
            return False
    return True
