"""A VM of a daemon."""

from __future__ import annotations

import errno as errnos
import mmap
import types
from typing import TYPE_CHECKING, Iterable, Optional, Tuple, Type, Union

from . import _calls
from ._calls import close_all
from ._compare_and_swap import Change, update
from ._faults import At, assert_survives_fault
from .errors import ConnectionLostError, NotFoundError, RequestTimeoutError
from .info import Capabilities, Memory, SimulatorLimits
from .memory import DirtyLog, Place
from .receipts import Observer, Receipt
from .slots import GuestRange, Slot, Snapshot
from .stream import EventStream

if TYPE_CHECKING:
    from .client import Client


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
            if kind is None:  # Otherwise the first error matters more.
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
        continuity: bool = False,
        attributes: Optional[Iterable[GuestRange]] = None,
    ) -> Receipt:
        """Makes `slots` the VM's memory: the complete array, or nothing (``memslots.submit``).

        :param expected_generation: commit only on this generation.
        :param always_quiesce: hold vCPUs for every change; otherwise only if the plan needs it.
        :param quiesce_deadline: seconds that vCPUs and readers may need to leave; None: 1. The
            limit is `ServerInfo.limits` ``["quiesceDeadlineMs"]``. The client waits for so much longer.
        :param continuity: hold vCPUs only so that none ever misses a page that both arrays map; not
            with `always_quiesce`.
        :param attributes: make exactly these ranges private, each a guest address and a size, and
            all other memory shared; None changes nothing.
        :raises InvalidArrayError: the array breaks a rule: ``violations``.
        :raises GenerationConflictError: the VM has another generation.
        :raises PrepareRejectedError: a hook vetoed.
        :raises RolledBackError: a call failed; the VM is exactly as before.
        :raises VMFailedError: the undo failed too, now or before: `recover`.
        :raises QuiesceTimeoutError: a vCPU or a reader did not leave in time.
        """
        return self._change(
            "memslots.submit",
            slots,
            expected_generation,
            always_quiesce,
            quiesce_deadline,
            continuity,
            attributes,
        )

    def plan(
        self,
        slots: Iterable[Slot],
        *,
        expected_generation: Optional[int] = None,
        always_quiesce: bool = False,
        quiesce_deadline: Optional[float] = None,
        continuity: bool = False,
        attributes: Optional[Iterable[GuestRange]] = None,
    ) -> Receipt:
        """The receipt that `submit` would return (``memslots.plan``). Changes nothing."""
        return self._change(
            "memslots.plan",
            slots,
            expected_generation,
            always_quiesce,
            quiesce_deadline,
            continuity,
            attributes,
        )

    def _change(
        self,
        method: str,
        slots: Iterable[Slot],
        expected_generation: Optional[int],
        always_quiesce: bool,
        quiesce_deadline: Optional[float],
        continuity: bool,
        attributes: Optional[Iterable[GuestRange]],
    ) -> Receipt:
        return self.client._run(
            _calls.change(
                method,
                self.name,
                slots,
                expected_generation,
                always_quiesce,
                quiesce_deadline,
                continuity,
                attributes,
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
        are needed.

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
            _calls.dirty_log(self.name, slot, memory, address_space, clear, first_page, page_count)
        )

    # ---- Memory objects

    def create_memory(
        self, name: str, size: int, *, backing: str = "memfd", shared: bool = False
    ) -> Memory:
        """Creates memory that slots can name (``memory.create``).

        :param size: bytes, a multiple of the page size.
        :param backing: ``memfd``, ``hugetlb`` or ``guest-memfd``.
        :param shared: with ``guest-memfd``: one memory for the guest and the host (Linux 6.18).
        :raises AlreadyExistsError: the VM has memory of that name.
        :raises UnavailableError: the host has no such memory.
        """
        return self.client._run(_calls.memory_create(self.name, name, size, backing, shared))

    def adopt_memory(self, name: str, fd: int, *, size: Optional[int] = None) -> Memory:
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

    # ---- Observers

    def attach_observer(
        self, name: str, fd: int, *, memory: Optional[Iterable[str]] = None
    ) -> Observer:
        """Keeps a vhost-user back end in step with the VM (``observer.attach``).

        :param fd: the connected socket of the back end, which the daemon gets a copy of.
        :param memory: the names of the memory objects that it sees; None: all.
        :raises PrepareRejectedError: the back end refuses, or does not reply.
        """
        return self.client._run(_calls.observer_attach(self.name, name, fd, memory))

    def observers(self) -> Tuple[Observer, ...]:
        """The observers of the VM, and what each was sent so far (``observer.list``)."""
        return self.client._run(_calls.observer_list(self.name))

    def detach_observer(self, name: str) -> None:
        """Ends the connection of an observer (``observer.detach``)."""
        self.client._run(_calls.observer_detach(self.name, name))

    # ---- Faults, for simulated VMs

    def inject_fault(
        self, operation: int, errno: Union[int, str] = errnos.ENOMEM, times: int = 1
    ) -> None:
        """Makes call number `operation` fail in the next `times` transactions that reach it
        (``fault.inject``).

        :param operation: from 0; the calls of an undo continue the count.
        :param errno: such as ``errno.ENOMEM`` or ``"ENOMEM"``.
        :raises UnavailableError: the VM is on KVM.
        """
        self.client._run(_calls.fault_inject(self.name, operation, errno, times))

    def clear_faults(self) -> None:
        """Disarms all faults."""
        self.client._run(_calls.fault_clear(self.name))

    def _installed(self) -> Optional[Snapshot]:
        return None

    def assert_survives_fault(
        self,
        array: Iterable[Slot],
        *,
        at: At = None,
        errno: Union[int, str] = errnos.ENOMEM,
    ) -> None:
        """Fails a test unless a call of this change can fail: the submit must return the errno, and
        the VM must be exactly as before, generation included. The VM keeps its array.

        :param at: the index of the call that fails, from 0, or several; None: each call in turn. Each is
            a submit of the whole array: of thousands of slots test some, as ``range(0, 30000, 1000)``.
        :raises AssertionError: with what is different; also if the change has no such call.
        """
        __tracebackhide__ = True
        assert_survives_fault(self, array, at, errno)
