"""The client for asyncio: as `memslots.Client`, method by method, with ``await``::

    async with memslots.aio.connect() as client, client.vm("demo") as vm:
        await vm.submit([])
        async for event in client.events(vm="demo"):
            print(event)
"""

from __future__ import annotations

import asyncio
import errno as errnos
import os
import socket
import types
from typing import (
    Any,
    AsyncIterator,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from . import _calls
from ._calls import Call, close_all
from ._compare_and_swap import Change
from ._session import Session, Waiter
from ._socket import DESCRIPTORS, default_socket_path, receive
from ._socket import connect as connect_socket
from .client import DEFAULT_TIMEOUT
from .errors import (
    ClosedError,
    ConnectionLostError,
    GenerationConflictError,
    MemslotsError,
    NotFoundError,
    RequestTimeoutError,
)
from .events import Destroyed, Event, RunEnded
from .events import from_wire as event_from_wire
from .info import Capabilities, Memory, Metrics, ServerInfo, SimulatorLimits, VMInfo
from .memory import DirtyLog, Place
from .receipts import Receipt
from .slots import Slot, Snapshot

T = TypeVar("T")
E = TypeVar("E", bound=Event)
QUEUED_EVENTS = 1024
"""While so many events wait and no reply is missing, nothing is read: the server then drops the
oldest, and says so."""


class AsyncConnection:
    """One connection, on the event loop that runs when it is made."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._session = Session()
        self._sending = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._sends: Set[asyncio.Task[None]] = set()
        self._is_reading = False
        self._resume()

    async def request(
        self,
        calls: Sequence[Tuple[str, Dict[str, Any]]],
        fds: Sequence[int],
        timeout: Optional[float],
        batch: bool = False,
    ) -> Waiter:
        """Sends a request, or a batch, and returns when its reply is there."""
        done = asyncio.Event()
        line, waiter = self._session.request(calls, batch, done.set)
        self._resume()
        try:
            await asyncio.wait_for(self._exchange(line, fds, done), timeout)
        except asyncio.TimeoutError:
            self._forget(waiter)
            raise RequestTimeoutError(f"timed out waiting for {calls[0][0]}", "timeout") from None
        except BaseException:
            self._forget(waiter)
            raise
        return waiter

    def _forget(self, waiter: Waiter) -> None:
        self._session.abandon(waiter)
        close_all(waiter.descriptors)
        waiter.descriptors = []

    async def _exchange(self, line: bytes, fds: Sequence[int], done: asyncio.Event) -> None:
        # Whoever waits may be cancelled; half a line would end the connection.
        sending = self._loop.create_task(self.send(line, fds))
        self._sends.add(sending)
        sending.add_done_callback(self._sends.discard)
        await asyncio.shield(sending)
        await done.wait()

    async def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """Sends a whole line."""
        # The caller may close its own while the line waits.
        copies = [os.dup(fd) for fd in fds]
        try:
            async with self._sending:
                if self._session.lost is not None:
                    raise ConnectionLostError(str(self._session.lost), self._session.lost.kind)
                sent = 0
                while copies and not sent:
                    try:
                        sent = socket.send_fds(self._socket, [line], copies, socket.MSG_NOSIGNAL)
                    except BlockingIOError:
                        await asyncio.sleep(0.001)
                await self._loop.sock_sendall(self._socket, line[sent:])
        except OSError as error:
            if isinstance(error, MemslotsError):
                raise
            self._lose(f"the connection broke: {error.strerror or error}")
            raise ConnectionLostError(str(self._session.lost), "connection-lost") from error
        finally:
            close_all(copies)

    async def event(self, timeout: Optional[float]) -> Tuple[str, Dict[str, Any]]:
        """The next event."""
        deadline = None if timeout is None else self._loop.time() + timeout
        if timeout == 0:
            await asyncio.sleep(0)  # The loop reads what is there.
        while not self._session.events:
            if self._session.lost is not None:
                raise ConnectionLostError(str(self._session.lost), self._session.lost.kind)
            self._arrived.clear()
            remaining = None if deadline is None else max(0, deadline - self._loop.time())
            try:
                await asyncio.wait_for(self._arrived.wait(), remaining)
            except asyncio.TimeoutError:
                raise RequestTimeoutError("timed out waiting for an event", "timeout") from None
        event = self._session.events.popleft()
        self._resume()
        return event

    def discard_events(self) -> None:
        """Forgets the events that nobody has read."""
        self._session.events.clear()
        self._resume()

    def close(self) -> None:
        """Ends the connection."""
        self._lose("the client is closed", "closed")

    def _resume(self) -> None:
        if not self._is_reading and self._session.lost is None:
            self._is_reading = True
            self._loop.add_reader(self._socket, self._receive)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket)

    def _receive(self) -> None:
        try:
            data, fds = receive(self._socket)
        except BlockingIOError:
            return
        except OSError as error:
            return self._lose(f"the connection broke: {error.strerror or error}")
        if not data:
            close_all(fds)
            return self._lose("the server closed the connection")
        try:
            self._session.receive(data, fds)
        except MemslotsError as error:
            self._lose(str(error))
        if len(self._session.events) >= QUEUED_EVENTS and not self._session.is_waiting:
            self._pause()
        self._arrived.set()

    def _lose(self, reason: str, kind: str = "connection-lost") -> None:
        self._pause()
        self._session.lose(reason, kind)
        self._arrived.set()
        self._socket.close()


class AsyncClient:
    """One connection: see `memslots.Client`, which has the same parameters and methods. Its tasks
    share it; it belongs to one event loop.

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
            self.path = default_socket_path() if path is None else os.fspath(path)
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
            raise ClosedError("only a client with a path that was not closed can connect again", "closed")
        connection = await self._connect(wait)
        if self._connection is not None:
            self._connection.close()
        self._connection = connection

    async def _connect(self, wait: float) -> AsyncConnection:
        sock, self._sock = self._sock, None
        if sock is None:
            if self.path is None:
                raise ClosedError("the socket of this client was used", "closed")
            arguments = (self.path, self._server_uid, wait, self.timeout)
            loop = asyncio.get_running_loop()
            sock = await loop.run_in_executor(None, lambda: connect_socket(*arguments))
        return AsyncConnection(sock)

    def close(self) -> None:
        """Ends the connection, and the ephemeral VMs that were created on it."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

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
        return AsyncEventStream(self, vm.name if isinstance(vm, AsyncVM) else vm, timeout)

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
        if len(fds) > DESCRIPTORS:
            raise ValueError(f"a request carries at most {DESCRIPTORS} descriptors")
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
            raise ClosedError("the client is not connected: use `async with`, or await open()", "closed")
        return self._connection

    async def _run(self, call: Call[T]) -> T:
        connection = self._open_connection()
        waiter = await connection.request([(call.method, call.params)], call.fds, self.timeout)
        return call.decode(*waiter.result())


class AsyncEventStream(AsyncIterator[Event]):
    """Events of one VM or of all: see `memslots.EventStream`."""

    snapshots: Tuple[Snapshot, ...] = ()
    """What each VM was when the stream began."""

    def __init__(self, client: AsyncClient, vm: Optional[str], timeout: Optional[float]) -> None:
        self.timeout = timeout
        self._vm = vm
        self._is_begun = False
        self._is_over = False
        self._owns_client = client.path is not None
        self._client = client
        if client.path is not None:
            self._client = AsyncClient(
                client.path, timeout=client.timeout, server_uid=client._server_uid
            )

    @property
    def snapshot(self) -> Snapshot:
        """What the VM was when the stream of one VM began."""
        return self.snapshots[0]

    async def __aenter__(self) -> AsyncEventStream:
        if not self._is_begun:
            await self._client.open()
            try:
                self.snapshots = await self._client.subscribe(self._vm)
            except BaseException:
                if self._owns_client:
                    self._client.close()
                raise
            self._is_begun = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        return await self.next(self.timeout)

    async def next(self, timeout: Optional[float]) -> Event:
        """The next event.

        :param timeout: seconds; None: for ever.
        :raises RequestTimeoutError: none came in time. The stream goes on.
        :raises StopAsyncIteration: the stream is over.
        """
        if self._is_over:
            raise StopAsyncIteration
        await self.__aenter__()
        event = await self._client.next_event(timeout)
        ended = isinstance(event, Destroyed) and event.vm == self._vm
        if ended or isinstance(event, RunEnded):
            self._is_over = True
            if self._owns_client:
                self._client.close()
        return event

    async def wait_for(self, kind: Type[E], timeout: Optional[float] = DEFAULT_TIMEOUT) -> E:
        """The next event of a class; others are skipped: see `memslots.EventStream.wait_for`."""
        while True:
            try:
                event = await self.next(timeout)
            except StopAsyncIteration:
                raise ConnectionLostError(
                    f"the events are over, and no {kind.__name__} was among them", "stream-over"
                ) from None
            if isinstance(event, kind):
                return event

    async def close(self) -> None:
        """Ends the subscription."""
        self._is_over = True
        if self._owns_client:
            self._client.close()
            return
        try:
            await self._client.unsubscribe(self._vm)
        except (NotFoundError, ConnectionLostError):
            pass  # The VM, or the connection, has ended, and the subscription with it.
        self._client._open_connection().discard_events()


class AsyncVM:
    """A VM of a daemon: see `memslots.VM`, which has the same methods."""

    capabilities: Optional[Capabilities] = None
    """The limits of a VM that this object created; else None."""

    def __init__(
        self,
        client: AsyncClient,
        name: str,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> None:
        self.client = client
        self.name = name
        self.backend = backend
        self._limits = limits
        self._ephemeral = ephemeral
        self._is_created = False

    def __repr__(self) -> str:
        return f"AsyncVM({self.name!r})"

    async def __aenter__(self) -> AsyncVM:
        if not self._is_created and all(vm.name != self.name for vm in await self.client.vms()):
            await self._create()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[types.TracebackType],
    ) -> None:
        if not self._is_created:
            return
        try:
            await self.destroy()
        except NotFoundError:
            pass  # It was destroyed inside the block.
        except (ConnectionLostError, RequestTimeoutError):
            if kind is None:  # The first error says more.
                raise

    async def _create(self) -> None:
        call = _calls.vm_create(self.name, self.backend, self._limits, self._ephemeral)
        backend, capabilities = await self.client._run(call)
        self.backend, self.capabilities = backend, capabilities
        self._is_created = True

    async def destroy(self) -> None:
        """Ends the VM (``vm.destroy``)."""
        await self.client._run(_calls.vm_destroy(self.name))
        self._is_created = False

    # ---- The array

    async def submit(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
    ) -> Receipt:
        """Makes `slots` the VM's memory, complete or not at all: see `memslots.VM.submit`."""
        return await self.client._run(
            _calls.change(
                "memslots.submit",
                self.name,
                slots,
                expected_generation,
                always_quiesce,
                quiesce_deadline,
            )
        )

    async def plan(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
    ) -> Receipt:
        """The receipt that `submit` would return. Changes nothing."""
        return await self.client._run(
            _calls.change(
                "memslots.plan",
                self.name,
                slots,
                expected_generation,
                always_quiesce,
                quiesce_deadline,
            )
        )

    async def update(self, change: Change, *, attempts: int = 10) -> Receipt:
        """Compare-and-swap on the generation: see `memslots.VM.update`."""
        while True:
            attempts -= 1
            array = await self.get()
            try:
                return await self.submit(change(array), expected_generation=array.generation)
            except GenerationConflictError:
                if attempts <= 0:
                    raise

    async def get(self, generation: Optional[int] = None) -> Snapshot:
        """The present array, or that of a former generation (``memslots.get``)."""
        return await self.client._run(_calls.get(self.name, generation))

    async def history(
        self, last: Optional[int] = None, before: Optional[int] = None
    ) -> Tuple[Receipt, ...]:
        """The receipts that are kept, oldest first: see `memslots.VM.history`."""
        receipts: Tuple[Receipt, ...] = ()
        while last is None or len(receipts) < last:
            rest = None if last is None else last - len(receipts)
            part, next = await self.client._run(_calls.history(self.name, rest, before))
            receipts = part + receipts
            if next is None or not part:
                break
            before = next
        return receipts

    async def recover(self) -> int:
        """Tries the undo of a failed VM again (``vm.recover``), and returns the generation."""
        return await self.client._run(_calls.vm_recover(self.name))

    def events(self, *, timeout: Optional[float] = None) -> AsyncEventStream:
        """The events of this VM: see `AsyncClient.events`."""
        return self.client.events(self, timeout=timeout)

    # ---- Addresses and pages

    async def translate(self, guest_address: int, *, address_space: int = 0) -> Optional[Place]:
        """Where a guest address is; None if no slot maps it (``memslots.translate``)."""
        return (await self.translate_many([guest_address], address_space=address_space))[0]

    async def translate_many(
        self, guest_addresses: Iterable[int], *, address_space: int = 0
    ) -> Tuple[Optional[Place], ...]:
        """As `translate`, for many addresses on one array."""
        addresses = list(guest_addresses)
        return await self.client._run(_calls.translate(self.name, addresses, address_space))

    async def translate_range(
        self, guest_address: int, size: int, *, address_space: int = 0
    ) -> Tuple[Place, ...]:
        """The pieces of a range of `size` bytes: see `memslots.VM.translate_range`."""
        return await self.client._run(
            _calls.translate_range(self.name, guest_address, size, address_space)
        )

    async def touch(self, guest_address: int, size: int = 1, *, address_space: int = 0) -> None:
        """Marks pages dirty as a guest's write of `size` bytes does (``guest.touch``)."""
        await self.client._run(_calls.touch(self.name, guest_address, size, address_space))

    async def dirty_log(
        self,
        slot: Optional[int] = None,
        *,
        memory: Optional[str] = None,
        address_space: int = 0,
        clear: bool = False,
        first_page: int = 0,
        page_count: Optional[int] = None,
    ) -> DirtyLog:
        """The dirty pages of a slot, or of a memory object: see `memslots.VM.dirty_log`."""
        return await self.client._run(
            _calls.dirty_log(
                self.name, slot, memory, address_space, clear, first_page, page_count
            )
        )

    # ---- Memory objects

    async def create_memory(self, name: str, size: int, *, backing: str = "memfd") -> Memory:
        """Creates `size` bytes of memory that slots can name: see `memslots.VM.create_memory`."""
        return await self.client._run(_calls.memory_create(self.name, name, size, backing))

    async def adopt_memory(self, name: str, fd: int, *, size: Optional[int] = None) -> Memory:
        """Passes a sealed memfd of ours to the daemon: see `memslots.VM.adopt_memory`."""
        return await self.client._run(_calls.memory_adopt(self.name, name, fd, size))

    async def memories(self) -> Tuple[Memory, ...]:
        """The memory that slots of the VM can name (``memory.list``)."""
        return await self.client._run(_calls.memory_list(self.name))

    async def export_memory(self, name: str) -> int:
        """A descriptor of the memory (``memory.export``), which the caller closes."""
        return await self.client._run(_calls.memory_export(self.name, name))

    async def destroy_memory(self, name: str) -> None:
        """Frees memory (``memory.destroy``)."""
        await self.client._run(_calls.memory_destroy(self.name, name))

    # ---- Faults, for simulated VMs

    async def inject_fault(self, operation: int, errno: int = errnos.ENOMEM, times: int = 1) -> None:
        """Makes call number `operation` fail: see `memslots.VM.inject_fault`."""
        name = errnos.errorcode.get(errno, str(errno))
        await self.client._run(_calls.fault_inject(self.name, operation, name, times))

    async def clear_faults(self) -> None:
        """Disarms all faults."""
        await self.client._run(_calls.fault_clear(self.name))


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
