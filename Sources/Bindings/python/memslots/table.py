"""The memory of one VM of this process, by libmemslots: simulated, or on KVM."""

from __future__ import annotations

import contextlib
import enum
import errno as errnos
import types
from ctypes import byref, c_uint64, sizeof
from typing import Any, Callable, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar, Union

from . import _library
from ._calls import milliseconds
from ._compare_and_swap import Change, update
from ._faults import At, assert_survives_fault
from ._handle import Handle
from ._library import library
from ._values import c_ranges, c_slots, from_c, place_from_c, receipt_from_c, u32, u64
from .errors import NotFoundError, UnavailableError, WrongSlotError, errno_number
from .info import Capabilities
from .memory import DirtyLog, Place
from .observers import Hook, HookFunctions, Observation, TableEvent
from .reading import Reader
from .receipts import Receipt
from .slots import Flags, GuestRange, Slot, Snapshot
from .vcpu import VCPU

R = TypeVar("R")


class DirtyLogMode(enum.IntEnum):
    """How a VM on KVM keeps its dirty log. The owner of the VM has enabled it; KVM does not return it."""

    CLEARED_BY_READING = 0
    """The default of every VM."""
    MANUAL = 1
    """``KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`` with 1."""
    MANUAL_INITIALLY_SET = 2
    """The same with 3."""
    RING = 3
    """``KVM_CAP_DIRTY_LOG_RING``."""


class Table(Handle):
    """The memory of one VM. Each submit contains the whole array: afterwards the VM has exactly that
    one, or exactly the one before.

    >>> with Table.simulator() as table:
    ...     ram = Slot(guest_address=0, size=0x200000, user_address=0x7f0000000000, id=0)
    ...     _ = table.submit([ram])
    ...     receipt = table.submit(ram.split(0xa0000))
    ...     print(receipt.generation, [str(operation) for operation in receipt.operations])
    2 ['delete slot 0 at 0x0', 'create slot 0 at 0x0', 'create slot 1 at 0xa0000']

    A context manager; `close` ends it. Any thread may use it. Each method raises the subclass of
    `MemslotsError` for what the library refuses, and `ClosedError` after `close`.

    :raises LibraryNotFoundError: there is no libmemslots.
    """

    def __init__(self, handle: int, is_simulated: bool) -> None:
        """For `simulator` and `kvm`."""
        self.is_simulated = is_simulated
        """Whether the VM is simulated."""
        self._handle = handle

    @classmethod
    def simulator(
        cls,
        *,
        max_slots: int = 0,
        address_spaces: int = 0,
        guest_physical_bits: int = 0,
        flags: Flags = Flags.NONE,
    ) -> Table:
        """A table on a simulated VM, with KVM's rules, order of checks and errno. User addresses need
        no memory behind them.

        :param max_slots: 1 to 1,048,576; 0: 32,764.
        :param address_spaces: 1 to 65,536; 0: 1.
        :param guest_physical_bits: 12 to 64; 0: 52.
        :param flags: that slots may have; none: `Flags.LOG_DIRTY_PAGES` and `Flags.READONLY`.
        :raises InvalidRequestError: a number is out of its range.
        """
        options = _library.CSimulatorOptions(
            sizeof(_library.CSimulatorOptions),
            u32(max_slots, "max_slots"),
            u32(address_spaces, "address_spaces"),
            u32(guest_physical_bits, "guest_physical_bits"),
            flags,
        )
        handle = c_uint64()
        library()("open_simulator", byref(options), byref(handle))
        return cls(handle.value, True)

    @classmethod
    def kvm(
        cls,
        vm_descriptor: int,
        *,
        installed: Sequence[Slot] = (),
        dirty_log: DirtyLogMode = DirtyLogMode.CLEARED_BY_READING,
        dirty_ring_bytes: int = 0,
        keeps_other_mappings: bool = False,
        attributes: Iterable[GuestRange] = (),
    ) -> Table:
        """A table on a VM that this process created (``KVM_CREATE_VM``).

        Until the table is closed nobody else may change the VM's slots. The caller keeps the
        descriptor, and closes it after the table.

        :param installed: the slots that the VM already has; they are checked against the kernel.
        :param dirty_ring_bytes: with `DirtyLogMode.RING`.
        :param keeps_other_mappings: a deletion drops only its own mappings, where the kernel can.
        :param attributes: the ranges that the VM already has private. No call of KVM's returns them:
            what is missing here stays private until a submit names it.
        :raises InvalidArrayError: the VM can't have these slots or ranges.
        :raises SystemCallError: it is no VM of this process; or, with ``errno`` None, its slots are
            others than `installed`.
        """
        slots = c_slots(installed)
        ranges = c_ranges(attributes)
        options = _library.CKVMOptions(
            sizeof(_library.CKVMOptions),
            slots,
            len(installed),
            dirty_log,
            u32(dirty_ring_bytes, "dirty_ring_bytes"),
            keeps_other_mappings,
            len(ranges),
            ranges,
        )
        handle = c_uint64()
        library()("open_kvm", vm_descriptor, byref(options), byref(handle))
        return cls(handle.value, False)

    def __repr__(self) -> str:
        closed = "" if self._handle else "closed "
        return f"<{closed}Table on {'a simulated VM' if self.is_simulated else 'KVM'}>"

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[types.TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the table. The VM keeps its slots. No effect on a closed one."""
        handle = self._take()
        if handle:
            library()("close", handle)

    def __del__(self) -> None:
        # At the interpreter's end the library may be gone, and the process frees all.
        with contextlib.suppress(Exception):
            self.close()

    @property
    def capabilities(self) -> Capabilities:
        """The limits that arrays are checked against."""
        c = _library.CCapabilities(sizeof(_library.CCapabilities))
        library()("get_capabilities", self._handle, byref(c))
        return Capabilities(
            max_slots=c.max_slots,
            address_spaces=c.address_spaces,
            max_pages_per_slot=c.max_pages_per_slot,
            flags=Flags(c.flags),
            guest_physical_bits=c.max_guest_page.bit_length() + 12,
            memory_attributes=c.memory_attributes,
        )

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
        """Makes `slots` the VM's memory: the complete array, in any order, or nothing.

        :param expected_generation: commit only on this generation.
        :param always_quiesce: hold vCPUs for every change; otherwise only if the plan needs it.
        :param quiesce_deadline: seconds that vCPUs and readers may need to leave; None: 1.
        :param continuity: hold vCPUs only so that none ever misses a page that both arrays map; not
            with `always_quiesce`.
        :param attributes: make exactly these ranges private, each a guest address and a size, and
            all other memory shared; None changes nothing.
        :raises InvalidArrayError: the array breaks a rule: ``violations``.
        :raises GenerationConflictError: the table has another generation.
        :raises PrepareRejectedError: a hook vetoed.
        :raises RolledBackError: a kernel call failed; the VM is exactly as before.
        :raises VMFailedError: the undo failed too, now or before: `recover`, `failure`.
        :raises QuiesceTimeoutError: a vCPU or a reader did not leave in time.
        """
        return self._change(
            "submit",
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
        """The receipt that `submit` would return. Changes nothing."""
        return self._change(
            "plan",
            slots,
            expected_generation,
            always_quiesce,
            quiesce_deadline,
            continuity,
            attributes,
        )

    def _change(
        self,
        function: str,
        slots: Iterable[Slot],
        expected_generation: Optional[int],
        always_quiesce: bool,
        quiesce_deadline: Optional[float],
        continuity: bool,
        attributes: Optional[Iterable[GuestRange]],
    ) -> Receipt:
        wanted = c_slots(slots)
        deadline = 0  # of the library
        if quiesce_deadline is not None:
            deadline = u32(max(1, milliseconds(quiesce_deadline)), "quiesce_deadline")
        ranges = c_ranges(attributes)
        options = _library.CSubmitOptions(
            sizeof(_library.CSubmitOptions),
            u64(expected_generation or 0, "expected_generation"),
            expected_generation is not None,
            always_quiesce,
            deadline,
            continuity,
            attributes is not None,
            len(ranges),
            ranges,
        )
        c = _library.CReceipt(sizeof(_library.CReceipt))
        library()(function, self._handle, wanted, len(wanted), byref(options), byref(c))
        try:
            return receipt_from_c(c)
        finally:
            library().release(c)

    def update(self, change: Change, *, attempts: int = 10) -> Receipt:
        """Reads the array, submits what `change` returns for it, and begins again if another thread
        changed the table in between (compare-and-swap on the generation).

        :raises GenerationConflictError: also the last attempt met another change.
        """
        return update(self, change, attempts)

    def get(self) -> Snapshot:
        """The present array, by address space and id."""
        while True:
            generation, again = c_uint64(), c_uint64()
            slots = library().list("get", _library.CSlot, self._handle, extra=(byref(generation),))
            ranges = library().list(
                "get_private_ranges", _library.CRange, self._handle, extra=(byref(again),)
            )
            if generation.value == again.value:
                attributes = tuple((item.guest_physical_address, item.size) for item in ranges)
                return Snapshot(generation.value, from_c(slots), attributes=attributes)

    @property
    def generation(self) -> int:
        """The present generation: how many transactions have changed the array."""
        return self.get().generation

    def failure(self) -> Optional[Tuple[Slot, ...]]:
        """The slots that are really installed in a table that has failed; None if it has not."""
        try:
            return from_c(library().list("failure", _library.CSlot, self._handle))
        except UnavailableError:
            return None

    def recover(self) -> int:
        """Tries the undo of a failed table again, and returns the generation. No effect on others.

        :raises VMFailedError: it failed again.
        """
        library()("recover", self._handle)
        return self.generation

    def release_vcpus(self) -> None:
        """Lets vCPUs enter the guest of a failed table, with the slots that are installed."""
        library()("release_vcpus", self._handle)

    # ---- Addresses and pages

    def translate(self, guest_address: int, *, address_space: int = 0) -> Optional[Place]:
        """Where a guest address is; None if no slot maps it. ``size`` reaches to the slot's end.

        Another thread may change the table right after: to use the memory, enter a `reader`.
        """
        span = _library.CSpan()
        address = u64(guest_address, "guest_address")
        try:
            library()(
                "translate",
                self._handle,
                u32(address_space, "address_space"),
                address,
                byref(span),
            )
        except NotFoundError:
            return None
        return place_from_c(span, address_space)

    def dirty_log(
        self,
        slot: int,
        *,
        address_space: int = 0,
        clear: bool = False,
        first_page: int = 0,
        page_count: Optional[int] = None,
    ) -> DirtyLog:
        """The dirty pages of a slot that logs.

        :param clear: clear exactly the returned bits.
        :param first_page: of 4096 bytes, from the slot's beginning; a multiple of 64.
        :param page_count: None: up to the end.
        :raises NotFoundError: there is no such slot.
        :raises WrongSlotError: it does not log.
        """
        pages = page_count
        if pages is None:
            found = self.get().get(slot, address_space)
            pages = max(0, found.size // 4096 - first_page) if found is not None else 1
        words = (pages + 63) // 64
        bitmap = (c_uint64 * max(1, words))()
        dirty = c_uint64()
        if pages > 0 or page_count is None:
            arguments = (
                u32(address_space, "address_space"),
                u32(slot, "slot"),
                u64(first_page, "first_page"),
                u64(pages, "page_count"),
                clear,
                bitmap,
                words,
                byref(dirty),
            )
            try:
                library()("dirty_log", self._handle, *arguments)
            except NotFoundError as error:
                found = self.get().get(slot, address_space)
                if found is None or found.flags & Flags.LOG_DIRTY_PAGES:
                    raise
                # The library has one code for both.
                raise WrongSlotError(error.message, "not-logging", error.code) from None
        return DirtyLog(first_page, pages, dirty.value, bytes(bitmap)[: (pages + 7) // 8])

    def reader(self, name: str = "reader") -> Reader:
        """Registers a reader, one for each thread that translates.

        :param name: what receipts and errors call it when a submit waits for it.
        """
        handle = c_uint64()
        library()("reader_open", self._handle, name.encode(), byref(handle))
        return Reader(handle.value)

    # ---- Hooks and observers

    def hook(
        self, functions: HookFunctions, *, name: str = "hook", needs_quiescence: bool = False
    ) -> Hook:
        """Calls `functions` for each change of the transactions that begin from now on: see
        `HookFunctions`.

        :param name: what errors call it.
        :param needs_quiescence: hold vCPUs out for every transaction.
        """
        return Hook(self._handle, functions, name, needs_quiescence)

    def observe(self, observer: Callable[[TableEvent], None]) -> Observation:
        """Calls `observer` for each event from now on, in order and before the submit returns. It may
        read the table, not change it."""
        return Observation(self._handle, observer)

    def vcpu(
        self,
        descriptor: int,
        kvm_run: int,
        *,
        id: int = 0,
        name: Optional[str] = None,
        kick_signal: int = 0,
    ) -> VCPU:
        """Registers a vCPU that the caller created (``KVM_CREATE_VCPU``) with the gate of a table on
        KVM. The caller keeps its descriptor and its ``struct kvm_run`` until it is closed.

        :param kvm_run: the address of its mapped ``struct kvm_run``.
        :param name: what errors call it; None: its id.
        :param kick_signal: makes it leave; 0: the first real-time signal.
        :raises UnavailableError: the table is on the simulator.
        """
        return VCPU.open(self._handle, descriptor, kvm_run, id, name, kick_signal)

    def guarded(
        self,
        body: Callable[[], R],
        *,
        name: str = "guarded",
        kick: Optional[Callable[[], None]] = None,
    ) -> R:
        """Runs `body` inside the vCPU gate: it waits while a transaction holds vCPUs out, and a
        transaction waits until `body` returns.

        :param kick: called by a thread that submits, to ask `body` to return soon.
        :raises ReentrantError: inside a callback of the table.
        """
        results: List[R] = []
        errors: List[BaseException] = []

        def run(_: Any) -> None:
            try:
                results.append(body())
            except BaseException as error:  # Nothing may leave through the library's frames.
                errors.append(error)

        def ask(_: Any) -> None:
            if kick is not None:
                kick()

        no_kick = _library.RELEASE() if kick is None else _library.RELEASE(ask)
        library()("guarded", self._handle, name.encode(), _library.RELEASE(run), no_kick, None)
        if errors:
            raise errors[0]
        return results[0]

    # ---- The simulator

    def touch(self, guest_address: int, size: int = 1, *, address_space: int = 0) -> None:
        """Marks pages dirty as a guest's write of `size` bytes does.

        :raises NotFoundError: no slot maps a part of it.
        :raises WrongSlotError: a page is read-only.
        :raises UnavailableError: the table is on KVM; so also for the next four.
        """
        library()(
            "simulator_touch",
            self._handle,
            u32(address_space, "address_space"),
            u64(guest_address, "guest_address"),
            u64(size, "size"),
        )

    def inject_fault(
        self, operation: int, errno: Union[int, str] = errnos.ENOMEM, times: int = 1
    ) -> None:
        """Makes call number `operation` fail in the next `times` transactions that reach it.

        :param operation: from 0; the calls of an undo continue the count.
        :param errno: such as ``errno.ENOMEM`` or ``"ENOMEM"``.
        :param times: at least 1.
        """
        library()(
            "simulator_fail",
            self._handle,
            u32(operation, "operation"),
            errno_number(errno),
            u32(times, "times"),
        )

    def clear_faults(self) -> None:
        """Disarms all faults."""
        library()("simulator_clear_faults", self._handle)

    def installed(self) -> Tuple[Slot, ...]:
        """The slots that the simulated kernel has, by address space and id."""
        slots = library().list("simulator_installed", _library.CSlot, self._handle)
        return tuple(sorted(from_c(slots), key=lambda slot: slot.key))

    def _installed(self) -> Optional[Snapshot]:
        return Snapshot(self.generation, self.installed())

    def assert_survives_fault(
        self,
        array: Iterable[Slot],
        *,
        at: At = None,
        errno: Union[int, str] = errnos.ENOMEM,
    ) -> None:
        """Fails a test unless a call of this change can fail: the submit must return the errno, and
        the table and the simulated kernel must be exactly as before. The VM keeps its array.

        :param at: the index of the call that fails, from 0, or several; None: each call in turn. Each is
            a submit of the whole array: of thousands of slots test some, as ``range(0, 30000, 1000)``.
        :raises AssertionError: with what is different; also if the change has no such call.
        :raises UnavailableError: the table is on KVM.
        """
        __tracebackhide__ = True
        assert_survives_fault(self, array, at, errno)
