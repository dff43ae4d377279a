"""The synchronous client of a daemon."""

from __future__ import annotations

import errno as errnos
import mmap
import os
import socket
import types
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from . import _calls
from ._calls import Call, close_all
from ._compare_and_swap import Change, update
from ._connection import Connection
from ._faults import assert_survives_fault
from ._socket import DESCRIPTORS, default_socket_path
from ._socket import connect as connect_socket
from .errors import (
    ClosedError,
    ConnectionLostError,
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
DEFAULT_TIMEOUT = 30.0
"""Seconds that a client waits for a reply."""


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
            self.path = default_socket_path() if path is None else os.fspath(path)
            sock = connect_socket(self.path, server_uid, wait, timeout)
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
            raise ClosedError("only a client with a path that was not closed can connect again", "closed")
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
        if len(fds) > DESCRIPTORS:
            raise ValueError(f"a request carries at most {DESCRIPTORS} descriptors")
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
        waiter = self._connection.request([(call.method, call.params)], call.fds, self.timeout)
        return call.decode(*waiter.result())


class EventStream(Iterator[Event]):
    """Events of one VM or of all. A context manager; `close` ends it.

    Iteration ends after `events.RunEnded`, and for one VM after its `events.Destroyed`. If the
    connection ends otherwise, it raises `ConnectionLostError`.
    """

    snapshots: Tuple[Snapshot, ...]
    """What each VM was when the stream began."""

    def __init__(
        self, client: Client, vm: Optional[str], timeout: Optional[float], owns_client: bool
    ) -> None:
        self.timeout = timeout
        self._client = client
        self._vm = vm
        self._owns_client = owns_client
        self._is_over = False
        self.snapshots = client.subscribe(vm)

    @property
    def snapshot(self) -> Snapshot:
        """What the VM was when the stream of one VM began."""
        return self.snapshots[0]

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        return self.next(self.timeout)

    def next(self, timeout: Optional[float]) -> Event:
        """The next event.

        :param timeout: seconds; None: for ever.
        :raises RequestTimeoutError: none came in time. The stream goes on.
        :raises StopIteration: the stream is over.
        """
        if self._is_over:
            raise StopIteration
        event = self._client.next_event(timeout)
        if isinstance(event, RunEnded):
            self._is_over = True
        elif isinstance(event, Destroyed) and event.vm == self._vm:
            self._is_over = True
        return event

    def wait_for(self, kind: Type[E], timeout: Optional[float] = DEFAULT_TIMEOUT) -> E:
        """The next event of a class, such as `events.Committed`; others are skipped.

        :param timeout: seconds to wait for each event.
        :raises RequestTimeoutError: none came in time.
        :raises ConnectionLostError: the stream is over.
        """
        while True:
            try:
                event = self.next(timeout)
            except StopIteration:
                raise ConnectionLostError(
                    f"the events are over, and no {kind.__name__} was among them", "stream-over"
                ) from None
            if isinstance(event, kind):
                return event

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the subscription."""
        self._is_over = True
        if self._owns_client:
            self._client.close()
            return
        try:
            self._client.unsubscribe(self._vm)
        except (NotFoundError, ConnectionLostError):
            pass  # The VM, or the connection, has ended, and the subscription with it.
        # The server sends nothing of this subscription after its reply.
        self._client._connection.discard_events()


class VM:
    """A VM of a daemon, by its name. `Client.vm` and `Client.create_vm` make it."""

    name: str
    """Its name, unique among the VMs of its user."""
    capabilities: Optional[Capabilities] = None
    """The limits of a VM that this object created; else None."""

    def __init__(
        self,
        client: Client,
        name: str,
        backend: str = "auto",
        limits: Optional[SimulatorLimits] = None,
        ephemeral: bool = False,
    ) -> None:
        self.client = client
        self.name = name
        self.backend = backend
        """``simulated`` or ``kvm`` for a VM that this object created; before, what was asked for."""
        self._limits = limits
        self._ephemeral = ephemeral
        self._is_created = False

    def __repr__(self) -> str:
        return f"VM({self.name!r})"

    def __enter__(self) -> VM:
        if not self._is_created and all(vm.name != self.name for vm in self.client.vms()):
            self._create()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[types.TracebackType],
    ) -> None:
        if not self._is_created:
            return
        try:
            self.destroy()
        except NotFoundError:
            pass  # It was destroyed inside the block.
        except (ConnectionLostError, RequestTimeoutError):
            if kind is None:  # The first error says more.
                raise

    def _create(self) -> None:
        self.backend, self.capabilities = self.client._run(
            _calls.vm_create(self.name, self.backend, self._limits, self._ephemeral)
        )
        self._is_created = True

    def destroy(self) -> None:
        """Ends the VM (``vm.destroy``). A running transaction completes first.

        :raises NotPermittedError: it is the VM of the serving process, or observed.
        """
        self.client._run(_calls.vm_destroy(self.name))
        self._is_created = False

    # ---- The array

    def submit(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
    ) -> Receipt:
        """Makes `slots` the VM's memory: the complete array, or nothing (``memslots.submit``).

        :param expected_generation: commit only on this generation.
        :param always_quiesce: hold vCPUs for every change; otherwise only if the plan needs it.
        :param quiesce_deadline: seconds that vCPUs and readers may need to leave; None: 1. The
            limit is `ServerInfo.limits` ``["quiesceDeadlineMs"]``.
        :raises InvalidArrayError: the array breaks a rule: ``violations``.
        :raises GenerationConflictError: the VM has another generation.
        :raises PrepareRejectedError: a hook vetoed.
        :raises RolledBackError: a call failed; the VM is exactly as before.
        :raises VMFailedError: the undo failed too, now or before: `recover`.
        :raises QuiesceTimeoutError: a vCPU or a reader did not leave in time.
        """
        return self._change(
            "memslots.submit", slots, expected_generation, always_quiesce, quiesce_deadline
        )

    def plan(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
    ) -> Receipt:
        """The receipt that `submit` would return (``memslots.plan``). Changes nothing."""
        return self._change(
            "memslots.plan", slots, expected_generation, always_quiesce, quiesce_deadline
        )

    def _change(
        self,
        method: str,
        slots: Iterable[Slot],
        expected_generation: Optional[int],
        always_quiesce: bool,
        quiesce_deadline: Optional[float],
    ) -> Receipt:
        return self.client._run(
            _calls.change(
                method, self.name, slots, expected_generation, always_quiesce, quiesce_deadline
            )
        )

    def update(self, change: Change, *, attempts: int = 10) -> Receipt:
        """Reads the array, submits what `change` returns for it, and begins again if somebody else
        changed the VM in between (compare-and-swap on the generation)::

            vm.update(lambda array: [*array, Slot(1 << 32, 4096, memory="ram")])

        :raises GenerationConflictError: also the last attempt met another change.
        """
        return update(self, change, attempts)

    def get(self, generation: Optional[int] = None) -> Snapshot:
        """The present array, or that of a former generation (``memslots.get``). For a failed VM
        what is really installed.

        :raises NotFoundError: the history does not reach back to that generation.
        """
        return self.client._run(_calls.get(self.name, generation))

    @property
    def generation(self) -> int:
        """The present generation. Asks the daemon."""
        return self.get().generation

    def history(
        self, last: Optional[int] = None, before: Optional[int] = None
    ) -> Tuple[Receipt, ...]:
        """The receipts that are kept, oldest first (``memslots.history``), in as many requests as
        that takes.

        :param last: only so many, the newest.
        :param before: only those before this generation.
        """
        receipts: Tuple[Receipt, ...] = ()
        while last is None or len(receipts) < last:
            rest = None if last is None else last - len(receipts)
            part, next = self.client._run(_calls.history(self.name, rest, before))
            receipts = part + receipts
            if next is None or not part:
                break
            before = next
        return receipts

    def recover(self) -> int:
        """Tries the undo of a failed VM again (``vm.recover``), and returns the generation. Does
        nothing on a VM that has not failed.

        :raises VMFailedError: it failed again.
        """
        return self.client._run(_calls.vm_recover(self.name))

    def events(self, *, timeout: Optional[float] = None) -> EventStream:
        """The events of this VM: see `Client.events`."""
        return self.client.events(self, timeout=timeout)

    # ---- Addresses and pages

    def translate(self, guest_address: int, *, address_space: int = 0) -> Optional[Place]:
        """Where a guest address is; None if no slot maps it (``memslots.translate``)."""
        return self.translate_many([guest_address], address_space=address_space)[0]

    def translate_many(
        self, guest_addresses: Iterable[int], *, address_space: int = 0
    ) -> Tuple[Optional[Place], ...]:
        """As `translate`, for many addresses on one array.

        :raises LimitExceededError: more than `ServerInfo.limits` ``["addresses"]``.
        """
        addresses = list(guest_addresses)
        return self.client._run(_calls.translate(self.name, addresses, address_space))

    def translate_range(
        self, guest_address: int, size: int, *, address_space: int = 0
    ) -> Tuple[Place, ...]:
        """The pieces of a range of `size` bytes, in order and without a gap; a piece that no slot maps
        has ``slot`` None."""
        return self.client._run(
            _calls.translate_range(self.name, guest_address, size, address_space)
        )

    def touch(self, guest_address: int, size: int = 1, *, address_space: int = 0) -> None:
        """Marks pages dirty as a guest's write of `size` bytes does (``guest.touch``). For simulated
        VMs.

        :raises NotFoundError: no slot maps a part of it; nothing was marked.
        :raises WrongSlotError: a page is read-only; nothing was marked.
        """
        self.client._run(_calls.touch(self.name, guest_address, size, address_space))

    def dirty_log(
        self,
        slot: Optional[int] = None,
        *,
        memory: Optional[str] = None,
        address_space: int = 0,
        clear: bool = False,
        first_page: int = 0,
        page_count: Optional[int] = None,
    ) -> DirtyLog:
        """The dirty pages of a slot, or of a memory object (``dirtylog.get``). Give one of both.

        :param clear: clear exactly the returned bits.
        :param first_page: of 4096 bytes, from the slot's or the object's beginning.
        :param page_count: None: up to the end.
        :raises WrongSlotError: it does not log.
        """
        return self.client._run(
            _calls.dirty_log(
                self.name, slot, memory, address_space, clear, first_page, page_count
            )
        )

    # ---- Memory objects

    def create_memory(self, name: str, size: int, *, backing: str = "memfd") -> Memory:
        """Creates memory that slots can name (``memory.create``).

        :param size: bytes, a multiple of the page size.
        :param backing: ``memfd``, ``hugetlb`` or ``guest-memfd``.
        :raises AlreadyExistsError: the VM has memory of that name.
        :raises UnavailableError: the host has no such memory.
        """
        return self.client._run(_calls.memory_create(self.name, name, size, backing))

    def adopt_memory(
        self, name: str, fd: int, *, size: Optional[int] = None
    ) -> Memory:
        """Passes a memfd of ours to the daemon as memory (``memory.create`` with ``fd``). The caller
        keeps `fd`, and may close it.

        :param fd: a memfd sealed with ``F_SEAL_SHRINK``, open for reading and writing.
        :param size: bytes of it that are used; None: all.
        """
        return self.client._run(_calls.memory_adopt(self.name, name, fd, size))

    def memories(self) -> Tuple[Memory, ...]:
        """The memory that slots of the VM can name (``memory.list``)."""
        return self.client._run(_calls.memory_list(self.name))

    def export_memory(self, name: str) -> int:
        """A descriptor of the memory (``memory.export``), which the caller closes.

        :raises InvalidRequestError: this memory has no descriptor to pass.
        """
        return self.client._run(_calls.memory_export(self.name, name))

    def map_memory(self, name: str) -> mmap.mmap:
        """The memory, mapped here, shared with the guest."""
        descriptor = self.export_memory(name)
        try:
            return mmap.mmap(descriptor, 0)
        finally:
            close_all([descriptor])

    def destroy_memory(self, name: str) -> None:
        """Frees memory (``memory.destroy``).

        :raises MemoryInUseError: a slot, or a reader of an old array, uses it.
        """
        self.client._run(_calls.memory_destroy(self.name, name))

    # ---- Faults, for simulated VMs

    def inject_fault(self, operation: int, errno: int = errnos.ENOMEM, times: int = 1) -> None:
        """Makes call number `operation` fail in the next `times` transactions that reach it
        (``fault.inject``).

        :param operation: from 0; the calls of an undo continue the count.
        :param errno: such as ``errno.ENOMEM``.
        :raises UnavailableError: the VM is on KVM.
        """
        name = errnos.errorcode.get(errno, str(errno))
        self.client._run(_calls.fault_inject(self.name, operation, name, times))

    def clear_faults(self) -> None:
        """Disarms all faults."""
        self.client._run(_calls.fault_clear(self.name))

    def _installed(self) -> Optional[Snapshot]:
        return None

    def assert_survives_fault(
        self,
        array: Iterable[Slot],
        *,
        at: Optional[int] = None,
        errno: int = errnos.ENOMEM,
    ) -> None:
        """Fails a test unless a call of this change can fail: the submit must return the errno, and
        the VM must be exactly as before, generation included. The VM keeps its array.

        :param at: the index of the call that fails, from 0; None: each call in turn.
        :raises AssertionError: with what is different; also if the change has no such call.
        """
        __tracebackhide__ = True
        assert_survives_fault(self, array, at, errno)


def connect(
    path: Union[None, str, os.PathLike[str]] = None,
    *,
    timeout: Optional[float] = DEFAULT_TIMEOUT,
    wait: float = 0,
    server_uid: Optional[int] = None,
) -> Client:
    """A client of the daemon that listens on `path`, by default where memslotd does: see `Client`."""
    return Client(path, timeout=timeout, wait=wait, server_uid=server_uid)
