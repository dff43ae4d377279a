"""The synchronous client of a daemon."""

from __future__ import annotations

import os
import socket
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from . import _calls
from ._calls import Call
from ._connection import DEFAULT_TIMEOUT, Connection
from ._socket import connect as connect_socket
from .errors import (
    ClosedError,
    MemslotsError,
)
from .events import Event
from .events import from_wire as event_from_wire
from .info import Metrics, ServerInfo, SimulatorLimits, VMInfo
from .slots import Snapshot
from .stream import EventStream
from .vm import VM

T = TypeVar("T")


class Client:
    """One connection to memslotd, to a VMM that embeds the service, or to ``memslotctl run --socket``.

    Any number of threads may use it at once. It checks that the server runs as root, as our user, as
    `server_uid`, or as the owner of the socket's directory where only root can replace that.

    Each method raises the subclass of `MemslotsError` for what the daemon refuses;
    `ConnectionLostError` if the connection ends; `RequestTimeoutError` after `timeout` seconds.

    :param path: the socket; None: `default_socket_path`.
    :param timeout: seconds to wait for a reply; None: for ever. It is an attribute, and may be changed.
    :param wait: seconds to try again while nobody listens yet.
    :param server_uid: a user as whom the server may run besides root and ours.
    :param sock: a connected socket, in place of `path`. Nothing is checked then.
    :raises ConnectError: nobody listens there.
    :raises UntrustedServerError: the server's user can't be trusted.
    """

    def __init__(
        self,
        path: Union[None, str, os.PathLike[str]] = None,
        *,
        timeout: Optional[float] = DEFAULT_TIMEOUT,
        wait: float = 0,
        server_uid: Optional[int] = None,
        sock: Optional[socket.socket] = None,
    ) -> None:
        self.timeout = timeout
        self.path: Optional[str] = None
        self._server_uid = server_uid
        self._is_closed = False
        if sock is None:
            named = None if path is None else os.fspath(path)
            sock = connect_socket(named, server_uid, wait, timeout)
            self.path = named or sock.getpeername()
        self._connection = Connection(sock)

    def __repr__(self) -> str:
        return f"Client({self.path!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and the ephemeral VMs that were created on it."""
        self._is_closed = True
        self._connection.close()

    def reconnect(self, wait: float = 0) -> None:
        """Opens a new connection in place of one that was lost.

        VMs of a daemon with a state directory are there again; ephemeral ones and subscriptions
        are not.

        :param wait: seconds to try again while nobody listens yet.
        :raises ConnectError: nobody listens there.
        :raises ClosedError: the client was closed, or was made from a socket.
        """
        if self._is_closed or self.path is None:
            raise ClosedError(
                "only a client with a path that was not closed can connect again", "closed"
            )
        sock = connect_socket(self.path, self._server_uid, wait, self.timeout)
        self._connection.close()
        self._connection = Connection(sock)

    # ---- The daemon

    def info(self) -> ServerInfo:
        """What the server is, its backends and its limits (``server.info``)."""
        return self._run(_calls.server_info())

    def metrics(self) -> Metrics:
        """The user's counters, histograms and gauges (``metrics.get``)."""
        return self._run(_calls.metrics())

    def vms(self) -> Tuple[VMInfo, ...]:
        """The user's VMs by name (``vm.list``)."""
        return self._run(_calls.vm_list())

    def vm(
        self,
        name: str,
        *,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> VM:
        """A VM by its name. Sends nothing.

        As a context manager it creates the VM where there is none of the name, and at the end
        destroys what it created. The other parameters are those of `create_vm`.
        """
        return VM(self, name, backend, limits, ephemeral)

    def create_vm(
        self,
        name: str,
        *,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> VM:
        """Creates a VM without slots (``vm.create``). A ``with`` block destroys it at its end.

        :param name: 1 to 128 bytes of UTF-8, no control characters, no slash.
        :param backend: ``simulated``, ``kvm``, or ``auto``: KVM if it opens.
        :param limits: of a simulated VM.
        :param ephemeral: ends with this connection, and is not kept by a state directory.
        :raises AlreadyExistsError: there is a VM of that name.
        :raises UnavailableError: the host has no such backend.
        """
        vm = VM(self, name, backend, limits, ephemeral)
        vm._create()
        return vm

    def set_atomic(self, atomic: bool) -> bool:
        """Switches ``--atomic`` of a run on or off (``run.setAtomic``).

        :raises NotPermittedError: not the user who started the run.
        :raises UnavailableError: a daemon, or a run without ``--atomic``.
        """
        return self._run(_calls.set_atomic(atomic))

    # ---- Events

    def events(
        self, vm: Union[None, str, VM] = None, *, timeout: Optional[float] = None
    ) -> EventStream:
        """Subscribes, and yields each event from now on, in order.

        The stream has a connection of its own, so that events that nobody reads delay nothing else.
        (A client made from a socket subscribes on that one; then have one stream at a time.)

        :param vm: one VM; None: all of the user's, also later ones.
        :param timeout: seconds to wait for an event; None: for ever. Its end raises
            `RequestTimeoutError`.
        :raises NotFoundError: there is no such VM.
        """
        name = vm.name if isinstance(vm, VM) else vm
        if self.path is None:
            return EventStream(self, name, timeout, owns_client=False)
        client = Client(self.path, timeout=self.timeout, server_uid=self._server_uid)
        try:
            return EventStream(client, name, timeout, owns_client=True)
        except BaseException:
            client.close()
            raise

    def subscribe(self, vm: Optional[str] = None) -> Tuple[Snapshot, ...]:
        """Subscribes on this connection (``events.subscribe``), and returns what each VM is now.
        Read with `next_event`. `events` does both on a connection of its own."""
        return self._run(_calls.subscribe(vm))

    def unsubscribe(self, vm: Optional[str] = None) -> None:
        """Ends a subscription of this connection, or all (``events.unsubscribe``). Events that were
        sent before may still arrive."""
        self._run(_calls.unsubscribe(vm))

    def next_event(self, timeout: Optional[float] = None) -> Event:
        """The next event of this connection's subscriptions.

        :param timeout: seconds; None: for ever; 0: only what is there.
        :raises RequestTimeoutError: none came.
        :raises ConnectionLostError: the connection ended, and every event has been returned.
        """
        method, params = self._connection.event(timeout)
        return event_from_wire(method, params)

    # ---- Requests as they are

    def call(
        self,
        method: str,
        params: Optional[Dict[str, Any]] = None,
        *,
        fds: Sequence[int] = (),
        timeout: Optional[float] = None,
    ) -> Dict[str, Any]:
        """Calls a method by its name, and returns its result as it came.

        Descriptors that came with it are in ``"fds"``; they are the caller's to close.

        :param fds: at most 16 descriptors that go with the request; the caller keeps them.
        :param timeout: seconds in place of the client's.
        """
        seconds = self.timeout if timeout is None else timeout
        waiter = self._connection.request([(method, params or {})], fds, seconds)
        result, received = waiter.result()
        return dict(result, fds=received) if received else dict(result)

    def batch(
        self, calls: Iterable[Tuple[str, Optional[Dict[str, Any]]]]
    ) -> List[Union[Dict[str, Any], MemslotsError]]:
        """Sends (method, params) pairs on one line; returns a result or an error for each.

        :raises MemslotsError: the batch as a whole was refused.
        """
        requests = [(method, params or {}) for method, params in calls]
        if not requests:
            return []
        return self._connection.request(requests, (), self.timeout, batch=True).results()

    def notify(self, method: str, params: Optional[Dict[str, Any]] = None) -> None:
        """Sends a request that gets no reply, whatever its result."""
        self._connection.notify(method, params or {}, self.timeout)

    def _run(self, call: Call[T]) -> T:
        timeout = call.timeout(self.timeout)
        waiter = self._connection.request([(call.method, call.params)], call.fds, timeout)
        return call.decode(*waiter.result())


def connect(
    path: Union[None, str, os.PathLike[str]] = None,
    *,
    timeout: Optional[float] = DEFAULT_TIMEOUT,
    wait: float = 0,
    server_uid: Optional[int] = None,
) -> Client:
    """A client of the daemon that listens on `path`, by default where memslotd does: see `Client`."""
    return Client(path, timeout=timeout, wait=wait, server_uid=server_uid)
