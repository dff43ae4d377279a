"""A VM of a daemon, for asyncio."""

from __future__ import annotations

import errno as errnos
import mmap
import types
from typing import TYPE_CHECKING, Any, Awaitable, Generator, Iterable, Optional, Tuple, Type, Union

from .. import _calls
from .._calls import close_all
from .._compare_and_swap import Change
from .._faults import At, FaultCheck
from ..errors import (
    ConnectionLostError,
    GenerationConflictError,
    MemslotsError,
    NotFoundError,
    RequestTimeoutError,
)
from ..info import Capabilities, Memory, SimulatorLimits
from ..memory import DirtyLog, Place
from ..receipts import Observer, Receipt
from ..slots import GuestRange, Slot, Snapshot
from ._stream import AsyncEventStream

if TYPE_CHECKING:
    from ._client import AsyncClient


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
            if kind is None:  # Otherwise the first error matters more.
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
        continuity: bool = False,
        attributes: Optional[Iterable[GuestRange]] = None,
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
                continuity,
                attributes,
            )
        )

    async def plan(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
        continuity: bool = False,
        attributes: Optional[Iterable[GuestRange]] = None,
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
                continuity,
                attributes,
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

    @property
    def generation(self) -> Awaitable[int]:
        """The present generation: ``await vm.generation``. Asks the daemon."""
        return _Generation(self)

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
            _calls.dirty_log(self.name, slot, memory, address_space, clear, first_page, page_count)
        )

    # ---- Memory objects

    async def create_memory(
        self, name: str, size: int, *, backing: str = "memfd", shared: bool = False
    ) -> Memory:
        """Creates `size` bytes of memory that slots can name: see `memslots.VM.create_memory`."""
        return await self.client._run(_calls.memory_create(self.name, name, size, backing, shared))

    async def adopt_memory(self, name: str, fd: int, *, size: Optional[int] = None) -> Memory:
        """Passes a sealed memfd of ours to the daemon: see `memslots.VM.adopt_memory`."""
        return await self.client._run(_calls.memory_adopt(self.name, name, fd, size))

    async def memories(self) -> Tuple[Memory, ...]:
        """The memory that slots of the VM can name (``memory.list``)."""
        return await self.client._run(_calls.memory_list(self.name))

    async def export_memory(self, name: str) -> int:
        """A descriptor of the memory (``memory.export``), which the caller closes."""
        return await self.client._run(_calls.memory_export(self.name, name))

    async def map_memory(self, name: str) -> mmap.mmap:
        """The memory, mapped here, shared with the guest."""
        descriptor = await self.export_memory(name)
        try:
            return mmap.mmap(descriptor, 0)
        finally:
            close_all([descriptor])

    async def destroy_memory(self, name: str) -> None:
        """Frees memory (``memory.destroy``)."""
        await self.client._run(_calls.memory_destroy(self.name, name))

    # ---- Observers

    async def attach_observer(
        self, name: str, fd: int, *, memory: Optional[Iterable[str]] = None
    ) -> Observer:
        """Keeps a vhost-user back end in step with the VM (``observer.attach``).

        :param fd: the connected socket of the back end, which the daemon gets a copy of.
        :param memory: the names of the memory objects that it sees; None: all.
        :raises PrepareRejectedError: the back end refuses, or does not reply.
        """
        return await self.client._run(_calls.observer_attach(self.name, name, fd, memory))

    async def observers(self) -> Tuple[Observer, ...]:
        """The observers of the VM, and what each was sent so far (``observer.list``)."""
        return await self.client._run(_calls.observer_list(self.name))

    async def detach_observer(self, name: str) -> None:
        """Ends the connection of an observer (``observer.detach``)."""
        await self.client._run(_calls.observer_detach(self.name, name))

    # ---- Faults, for simulated VMs

    async def inject_fault(
        self, operation: int, errno: Union[int, str] = errnos.ENOMEM, times: int = 1
    ) -> None:
        """Makes call number `operation` fail: see `memslots.VM.inject_fault`."""
        await self.client._run(_calls.fault_inject(self.name, operation, errno, times))

    async def clear_faults(self) -> None:
        """Disarms all faults."""
        await self.client._run(_calls.fault_clear(self.name))

    async def _installed(self) -> Optional[Snapshot]:
        return None

    async def assert_survives_fault(
        self,
        array: Iterable[Slot],
        *,
        at: At = None,
        errno: Union[int, str] = errnos.ENOMEM,
    ) -> None:
        """Fails a test unless calls of this change can fail: see `memslots.VM.assert_survives_fault`."""
        __tracebackhide__ = True
        check = FaultCheck(array, at, errno)
        while check.call is not None:
            name, arguments = check.call
            try:
                result = await getattr(self, name)(*arguments)
            except MemslotsError as error:
                check.failed(error)
            else:
                check.returned(result)


class _Generation(Awaitable[int]):
    """Asks when it is awaited. A coroutine would warn when a debugger shows the property."""

    def __init__(self, vm: AsyncVM) -> None:
        self._vm = vm

    def __await__(self) -> Generator[Any, None, int]:
        return (yield from self._vm.get().__await__()).generation
