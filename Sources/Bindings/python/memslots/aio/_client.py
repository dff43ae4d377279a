"""The client of a daemon for asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import (
    Any,
    Awaitable,
    Dict,
    Generator,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from .. import _calls
from .._calls import Call
from .._connection import DEFAULT_TIMEOUT
from .._session import Session
from .._socket import own_socket_path
from .._socket import connect as connect_socket
from ..errors import ClosedError, MemslotsError
from ..events import Event
from ..events import from_wire as event_from_wire
from ..info import Metrics, ServerInfo, SimulatorLimits, VMInfo
from ..slots import Snapshot
from ._connection import AsyncConnection
from ._stream import AsyncEventStream
from ._vm import AsyncVM

T = TypeVar("T")


class AsyncClient:
    """One connection: see `memslots.Client`, which has the same parameters and methods. Its tasks
    share it; it belongs to the event loop in which it connected.

    ``async with`` connects it and closes it; so does ``await client.open()``, with ``close()``.
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
        if sock is None:
            self.path = own_socket_path(os.environ) if path is None else os.fspath(path)
        self._is_found = path is None
        self._sock = sock
        self._wait = wait
        self._server_uid = server_uid
        self._is_closed = False
        self._connection: Optional[AsyncConnection] = None

    def __repr__(self) -> str:
        return f"AsyncClient({self.path!r})"

    async def open(self) -> AsyncClient:
        """Connects, if it is not connected.

        :raises ConnectError: nobody listens there.
        :raises UntrustedServerError: the server's user can't be trusted.
        """
        if self._connection is None:
            self._connection = await self._connect(self._wait)
        return self

    async def reconnect(self, wait: float = 0) -> None:
        """Opens a new connection in place of one that was lost: see `memslots.Client.reconnect`."""
        if self._is_closed or self.path is None:
            raise ClosedError(
                "only a client with a path that was not closed can connect again", "closed"
            )
        connection = await self._connect(wait)
        if self._connection is not None:
            self._connection.close()
        self._connection = connection

    async def _connect(self, wait: float) -> AsyncConnection:
        sock, self._sock = self._sock, None
        if sock is None:
            if self.path is None:
                raise ClosedError("the socket of this client was used", "closed")
            named = None if self._is_found else self.path
            arguments = (named, self._server_uid, wait, self.timeout)
            loop = asyncio.get_running_loop()
            sock = await loop.run_in_executor(None, lambda: connect_socket(*arguments))
            if self._is_found:
                self.path, self._is_found = sock.getpeername(), False
        return AsyncConnection(sock)

    def close(self) -> Awaitable[None]:
        """Ends the connection, and the ephemeral VMs that were created on it, at once. The result may
        be awaited, and need not be."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()
        return _Done()

    def _abandon(self) -> None:
        self._is_closed = True
        if self._connection is not None:
            self._connection.abandon()

    async def __aenter__(self) -> AsyncClient:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # ---- The daemon

    async def info(self) -> ServerInfo:
        """What the server is, its backends and its limits (``server.info``)."""
        return await self._run(_calls.server_info())

    async def metrics(self) -> Metrics:
        """The user's counters, histograms and gauges (``metrics.get``)."""
        return await self._run(_calls.metrics())

    async def vms(self) -> Tuple[VMInfo, ...]:
        """The user's VMs by name (``vm.list``)."""
        return await self._run(_calls.vm_list())

    def vm(
        self,
        name: str,
        *,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> AsyncVM:
        """A VM by its name. ``async with`` creates it where there is none, and then destroys it."""
        return AsyncVM(self, name, backend, limits, ephemeral)

    async def create_vm(
        self,
        name: str,
        *,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> AsyncVM:
        """Creates a VM without slots (``vm.create``): see `memslots.Client.create_vm`."""
        vm = AsyncVM(self, name, backend, limits, ephemeral)
        await vm._create()
        return vm

    async def set_atomic(self, atomic: bool) -> bool:
        """Switches ``--atomic`` of a run on or off (``run.setAtomic``)."""
        return await self._run(_calls.set_atomic(atomic))

    # ---- Events

    def events(
        self, vm: Union[None, str, AsyncVM] = None, *, timeout: Optional[float] = None
    ) -> AsyncEventStream:
        """Subscribes, and yields each event, on a connection of its own: see `memslots.Client.events`.

        It begins at ``async with``, or at the first event that is asked for.
        """
        name = vm.name if isinstance(vm, AsyncVM) else vm
        if self.path is None:
            return AsyncEventStream(self, name, timeout, owns_client=False)
        client = AsyncClient(self.path, timeout=self.timeout, server_uid=self._server_uid)
        return AsyncEventStream(client, name, timeout, owns_client=True)

    async def subscribe(self, vm: Optional[str] = None) -> Tuple[Snapshot, ...]:
        """Subscribes on this connection (``events.subscribe``). Read with `next_event`."""
        return await self._run(_calls.subscribe(vm))

    async def unsubscribe(self, vm: Optional[str] = None) -> None:
        """Ends a subscription of this connection, or all (``events.unsubscribe``)."""
        await self._run(_calls.unsubscribe(vm))

    async def next_event(self, timeout: Optional[float] = None) -> Event:
        """The next event of this connection's subscriptions: see `memslots.Client.next_event`."""
        method, params = await self._open_connection().event(timeout)
        return event_from_wire(method, params)

    # ---- Requests as they are

    async def call(
        self,
        method: str,
        params: Optional[Dict[str, Any]] = None,
        *,
        fds: Sequence[int] = (),
        timeout: Optional[float] = None,
    ) -> Dict[str, Any]:
        """Calls a method by its name: see `memslots.Client.call`."""
        seconds = self.timeout if timeout is None else timeout
        connection = self._open_connection()
        waiter = await connection.request([(method, params or {})], fds, seconds)
        result, received = waiter.result()
        return dict(result, fds=received) if received else dict(result)

    async def batch(
        self, calls: Iterable[Tuple[str, Optional[Dict[str, Any]]]]
    ) -> List[Union[Dict[str, Any], MemslotsError]]:
        """Sends (method, params) pairs on one line; returns a result or an error for each."""
        requests = [(method, params or {}) for method, params in calls]
        if not requests:
            return []
        waiter = await self._open_connection().request(requests, (), self.timeout, batch=True)
        return waiter.results()

    async def notify(self, method: str, params: Optional[Dict[str, Any]] = None) -> None:
        """Sends a request that gets no reply, whatever its result."""
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        await self._open_connection().send(Session.line(message))

    def _open_connection(self) -> AsyncConnection:
        if self._connection is None:
            raise ClosedError(
                "the client is not connected: use `async with`, or await open()", "closed"
            )
        self._connection.check_loop()
        return self._connection

    async def _run(self, call: Call[T]) -> T:
        connection = self._open_connection()
        timeout = call.timeout(self.timeout)
        waiter = await connection.request([(call.method, call.params)], call.fds, timeout)
        return call.decode(*waiter.result())


class _Done(Awaitable[None]):
    """What was done already. A coroutine would warn if nobody awaits it."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


def connect(
    path: Union[None, str, os.PathLike[str]] = None,
    *,
    timeout: Optional[float] = DEFAULT_TIMEOUT,
    wait: float = 0,
    server_uid: Optional[int] = None,
) -> AsyncClient:
    """A client of the daemon that listens on `path`, by default where memslotd does; ``async with``
    connects it."""
    return AsyncClient(path, timeout=timeout, wait=wait, server_uid=server_uid)
