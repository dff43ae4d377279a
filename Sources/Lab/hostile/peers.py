"""A hostile user: its connections, and what it has been granted."""

from __future__ import annotations

import array
import concurrent.futures
import json
import select
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import memslots
from kernel import LingeringSocket, connect, sealed_memory

WAIT = 5
"""Seconds after which a request is taken to wait behind unread replies of its user."""
PATIENCE = 60
"""Seconds that a request may take once nothing is unread."""


class BrokenPromise(Exception):
    """The daemon does not do what SECURITY.md promises."""


@dataclass(frozen=True)
class Bounds:
    """The least and the most of something that the daemon reports."""

    least: int
    most: int


@dataclass
class VM:
    """What a VM has."""

    slots: int = 0
    logs: bool = False
    """Whether the slots log what is written to them, and are large."""
    memories: Dict[str, int] = field(default_factory=dict)
    """The bytes of each, by name."""
    kernel: int = 0
    """Bytes of the kernel's own memory for the slots."""
    files: int = 0
    """Descriptors that KVM has for it."""


def line(method: str, **params: Any) -> bytes:
    """A request as it is sent."""
    return json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n"


class Quiet:
    """A connection whose replies nobody reads."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.half = 0
        """Bytes of a line that has no end."""
        self.passed = 0
        """Descriptors that came with it."""
        self.files = 0
        """Those of them that are sealed memory, which alone enters the daemon."""
        self.is_spoilt = False
        """Whether too many came, so that none is kept until the line ends."""
        self.subscriptions = 0
        self.is_owed = False
        """Whether it was sent replies that may fill what its user may leave unread."""
        connection.setblocking(False)

    def send(self, data: bytes, files: Sequence[int] = (), seconds: float = 1) -> int:
        """Sends what the daemon reads within some time, and returns how much that was."""
        deadline, sent = time.monotonic() + seconds, 0
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        while sent < len(data):
            try:
                sent += self.socket.sendmsg([data[sent : sent + (1 << 20)]], passed)
                passed = []
            except BlockingIOError:
                # A negative time is one without an end, and a slow machine is soon past it.
                left = max(0, deadline - time.monotonic())
                # `select` knows no descriptor above 1,023.
                poll = select.poll()
                poll.register(self.socket, select.POLLOUT)
                if not poll.poll(left * 1000):
                    break
            except OSError:
                break
            if time.monotonic() > deadline:
                break
        return sent

    @property
    def is_gone(self) -> bool:
        """Whether the daemon has closed it."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        self.socket.close()


class Peer:
    """A hostile user. Its requests that change the model go over a connection that reads replies."""

    def __init__(self, path: str, uid: int, siblings: List[Peer]) -> None:
        self.path, self.uid = path, uid
        self._siblings = siblings
        self.memory = sealed_memory(uid)
        self._client = memslots.Client(sock=connect(path, uid), timeout=None)
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self.quiet: List[Quiet] = []
        self.vms: Dict[str, VM] = {}
        self.lingering: List[LingeringSocket] = []
        self.hung: Optional[subprocess.Popen[bytes]] = None
        """A process that passed descriptors which hang, on `hung_connections`."""
        self.hung_connections = 0
        self.hanging = 0
        """Connections that are closed, but for a descriptor that can't be."""
        self.refusals: Dict[str, int] = {}
        self._last = 0
        # The daemon lists a user once it has sent a request.
        self.ask("server.info", {})

    def connect(self) -> Quiet:
        """Opens a connection, which the daemon may refuse."""
        self.quiet.append(Quiet(connect(self.path, self.uid)))
        return self.quiet[-1]

    def name(self) -> str:
        """A name that the user has not had."""
        self._last += 1
        return f"n{self._last}"

    def ask(
        self, method: str, params: Dict[str, Any], fds: Sequence[int] = ()
    ) -> Tuple[Optional[Dict[str, Any]], Optional[str]]:
        """Sends a request, and returns its result, or the limit or the kind of the error.

        A user with unread replies waits behind them, as documented. Then these end.

        :raises BrokenPromise: there is no reply, though nothing is unread.
        """
        future = self._pool.submit(self._client.call, method, params, fds=fds)
        concurrent.futures.wait([future], WAIT)
        if not future.done():
            for peer in self._siblings:
                peer.close([quiet for quiet in peer.quiet if quiet.is_owed])
        try:
            return future.result(PATIENCE), None
        except memslots.LimitExceededError as error:
            limit = str(error.data.get("limit"))
            self.refusals[limit] = self.refusals.get(limit, 0) + 1
            return None, limit
        except memslots.ConnectionLostError:
            raise
        except memslots.MemslotsError as error:
            return None, error.kind
        except concurrent.futures.TimeoutError:
            raise BrokenPromise(
                f"user {self.uid}: {method} has no reply in {PATIENCE} s, though nothing is unread"
            ) from None

    def close(self, connections: Sequence[Quiet]) -> None:
        """Ends connections, whatever they are in the middle of."""
        for quiet in connections:
            quiet.close()
            self.quiet.remove(quiet)

    def release_hung(self) -> None:
        """Lets all descriptors that hang be closed."""
        for one in self.lingering:
            one.reset()
        self.lingering.clear()
        if self.hung is not None:
            self.hung.communicate(b"")
            self.hung = None
        self.hung_connections = self.hanging = 0

    def end(self) -> None:
        """Ends all that it has, but the connection for its requests."""
        self.close(list(self.quiet))
        self.release_hung()
        for name in list(self.vms):
            self.ask("vm.destroy", {"vm": name})
        self.vms.clear()

    # ---- The model

    def held(self, name: str) -> int:
        """What it holds, by the name of the limit."""
        alive = [quiet for quiet in self.quiet if not quiet.is_gone]
        if name == "connections":
            return len(alive) + 1 + self.hung_connections
        if name == "vms":
            return len(self.vms)
        if name == "slots":
            return sum(vm.slots for vm in self.vms.values())
        if name == "kernelMemory":
            return sum(vm.kernel for vm in self.vms.values())
        if name == "memories":
            return sum(len(vm.memories) for vm in self.vms.values())
        if name == "memoryBytes":
            return sum(size for vm in self.vms.values() for size in vm.memories.values())
        if name == "subscriptions":
            return sum(quiet.subscriptions for quiet in alive)
        assert name == "passedDescriptors", name
        return sum(quiet.passed for quiet in alive)

    def expected(self) -> Dict[str, Bounds]:
        """What the daemon must report once it is at rest."""
        exact = ["connections", "vms", "slots", "memories", "memoryBytes", "kernelMemory"]
        exact.append("passedDescriptors")
        bounds = {name: Bounds(self.held(name), self.held(name)) for name in exact}
        bounds["subscriptions"] = Bounds(0, self.held("subscriptions"))
        alive = [quiet for quiet in self.quiet if not quiet.is_gone]
        # The last bytes may be in the socket. The connection for requests keeps a buffer of this size.
        halves = sum(max(quiet.half - (256 << 10), 0) for quiet in alive)
        is_busy = any(quiet.half or quiet.is_owed for quiet in alive)
        unlimited = 1 << 62
        bounds["requestBytes"] = Bounds(halves, unlimited if is_busy else 256 << 10)
        is_owed = any(quiet.is_owed for quiet in alive)
        bounds["unreadReplyBytes"] = Bounds(0, unlimited if is_owed else 0)
        follows = any(quiet.subscriptions for quiet in alive)
        bounds["eventBytes"] = Bounds(0, unlimited if follows else 0)
        bounds["dirtyBytes"] = Bounds(0, unlimited if self.held("slots") else 0)
        bounds["receiptBytes"] = Bounds(0, unlimited if self.vms else 0)
        return bounds

    def descriptors(self) -> int:
        """Descriptors that the daemon has open for it, beside those of receivers."""
        alive = [quiet for quiet in self.quiet if not quiet.is_gone]
        open_connections = self.held("connections") - self.hanging
        files = sum(quiet.files for quiet in alive) + sum(vm.files for vm in self.vms.values())
        return open_connections + self.held("memories") + files
