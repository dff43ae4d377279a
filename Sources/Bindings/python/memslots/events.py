"""Notifications of a daemon, and of ``memslotctl run --socket``.

`Client.events` yields them. ``isinstance(event, events.Committed)`` is the test for a
kind; ``event.method`` is its name in Docs/Protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Tuple

from .errors import bad_argument, errno_from_name
from .receipts import Operation, Receipt
from .slots import GuestRange, Slot, Snapshot, describe, private_ranges, to_int

__all__ = [
    "Committed",
    "Created",
    "Destroyed",
    "Dropped",
    "Event",
    "Failed",
    "from_wire",
    "Retired",
    "RolledBack",
    "RunEnded",
    "RunFault",
    "RunHole",
    "RunTransaction",
    "Unknown",
]


@dataclass(frozen=True)
class Event:
    """A notification."""

    method: ClassVar[str] = ""
    vm: Optional[str]
    """The VM it is about; None where it is about none."""
    params: Mapping[str, Any] = field(repr=False, hash=False)
    """As the daemon sent it, with every member."""


@dataclass(frozen=True)
class Unknown(Event):
    """A notification that this version of the package does not know."""

    name: str
    """Its method."""


@dataclass(frozen=True)
class Committed(Event):
    """The array changed."""

    method: ClassVar[str] = "memslots.committed"
    receipt: Receipt
    generation: int
    previous_generation: int
    changed: Tuple[Slot, ...]
    """Added, moved and reflagged slots, as they are now."""

    def apply(self, snapshot: Snapshot) -> Snapshot:
        """The array after this event, from the array before it.

        :raises InvalidRequestError: the snapshot has another generation than the one before the event.
        """
        if snapshot.generation != self.previous_generation:
            raise bad_argument(
                f"the event follows generation {self.previous_generation}, the array is of"
                f" generation {snapshot.generation}; subscribe again"
            )
        slots = {slot.key: slot for slot in snapshot.slots}
        for key in self.receipt.diff.removed:
            del slots[key]
        slots.update((slot.key, slot) for slot in self.changed)
        changes = [(change.guest_address, change.size) for change in self.receipt.attributes]
        edges: List[int] = []
        for edge in sorted(
            edge
            for address, size in chain(snapshot.attributes, changes)
            for edge in (address, address + size)
        ):
            # Each change is one of its whole range: two edges at one address are none.
            if edges[-1:] == [edge]:
                edges.pop()
            else:
                edges.append(edge)
        return Snapshot(
            self.generation,
            tuple(slots[key] for key in sorted(slots)),
            vm=snapshot.vm,
            attributes=tuple((a, b - a) for a, b in zip(edges[::2], edges[1::2])),
        )


@dataclass(frozen=True)
class RolledBack(Event):
    """A change failed and was undone, or a failed VM was recovered: it is as before."""

    method: ClassVar[str] = "memslots.rolledBack"
    generation: int
    errno: str
    """The symbolic name, such as ``ENOMEM``."""
    operation: Optional[int]
    """The operation that failed; None if it was reading a dirty log, or setting an attribute."""

    @property
    def errno_number(self) -> Optional[int]:
        """The number of `errno`, as in `MemslotsError.errno`."""
        return errno_from_name(self.errno)


@dataclass(frozen=True)
class Failed(Event):
    """The undo failed too; vCPUs stay out of the guest."""

    method: ClassVar[str] = "memslots.failed"
    generation: int
    errno: str
    operation: Optional[int]
    undo_errno: str
    slots: Tuple[Slot, ...]
    """What is really installed."""
    attributes: Tuple[GuestRange, ...]
    """What is really private."""

    @property
    def errno_number(self) -> Optional[int]:
        """The number of `errno`."""
        return errno_from_name(self.errno)

    @property
    def undo_errno_number(self) -> Optional[int]:
        """The number of `undo_errno`, as in `MemslotsError.errno`."""
        return errno_from_name(self.undo_errno)


@dataclass(frozen=True)
class Retired(Event):
    """Every reader of arrays older than `generation` has left."""

    method: ClassVar[str] = "memslots.retired"
    generation: int


@dataclass(frozen=True)
class Created(Event):
    """A VM was created. Sent to subscribers of all VMs."""

    method: ClassVar[str] = "vm.created"
    backend: str
    generation: int
    slots: Tuple[Slot, ...]


@dataclass(frozen=True)
class Destroyed(Event):
    """A VM ended; nothing of it follows."""

    method: ClassVar[str] = "vm.destroyed"


@dataclass(frozen=True)
class Dropped(Event):
    """Events were dropped because they were not read in time. Subscribe again."""

    method: ClassVar[str] = "events.dropped"
    count: int


@dataclass(frozen=True, repr=False)
class RunHole:
    """Memory that was missing in a VMM's transaction."""

    guest_address: int
    size: int
    """Bytes."""
    nanoseconds: int
    """For how long, at most."""
    certain_nanoseconds: Optional[int]
    guest_inside: bool
    """Whether another vCPU was in the guest during it."""
    backing: Optional[str]
    """``same``, ``other`` or ``unknown``: what came back there."""
    verdict: Optional[str]
    """``hole`` or ``unclear``."""
    address_space: int = 0

    def __repr__(self) -> str:
        return describe(self)


@dataclass(frozen=True)
class RunTransaction(Event):
    """A transaction of a VMM under ``memslotctl run --socket`` has ended."""

    method: ClassVar[str] = "run.transaction"
    generation: int
    at: int
    """Nanoseconds since the run's first call."""
    thread: int
    outcome: str
    """``committed`` or ``unchanged``."""
    calls: int
    operations: Tuple[Operation, ...]
    missing_bytes: int
    """Memory that was missing, each host page once."""
    longest_nanoseconds: int
    total_nanoseconds: int
    guest_inside: bool
    holes: Tuple[RunHole, ...]
    """At most 256 of `hole_count`."""
    hole_count: int
    commit: Optional[Mapping[str, Any]] = field(hash=False)
    """With ``--atomic``: ``asked``, ``made``, ``because``, ``heldNanoseconds`` and its
    parts (see *run.transaction* in the protocol)."""


@dataclass(frozen=True)
class RunFault(Event):
    """A ``KVM_RUN`` of the VMM returned ``EFAULT``."""

    method: ClassVar[str] = "run.fault"
    thread: int
    text: str
    """What of the user memory KVM could not reach."""


@dataclass(frozen=True)
class RunEnded(Event):
    """The run is over, nothing follows. `params` has every total."""

    method: ClassVar[str] = "run.ended"
    status: int
    """The VMM's exit status."""
    transactions: int
    calls: int
    failed_calls: int
    transactions_with_holes: int
    transactions_with_holes_in_guest: int
    missing_bytes: int
    lost_records: int
    stopped: bool
    """Whether ``--atomic`` had to stop the VMM."""


Params = Mapping[str, Any]


def _slots(params: Params, name: str) -> Tuple[Slot, ...]:
    return tuple(Slot.from_wire(slot) for slot in params[name])


def _committed(vm: Optional[str], p: Params) -> Event:
    return Committed(
        vm, p, Receipt.from_wire(p), p["generation"], p["previousGeneration"], _slots(p, "changed")
    )


def _rolled_back(vm: Optional[str], p: Params) -> Event:
    return RolledBack(vm, p, p["generation"], p["errno"], p.get("operation"))


def _failed(vm: Optional[str], p: Params) -> Event:
    return Failed(
        vm,
        p,
        p["generation"],
        p["errno"],
        p.get("operation"),
        p["undoErrno"],
        _slots(p, "slots"),
        private_ranges(p),
    )


def _created(vm: Optional[str], p: Params) -> Event:
    return Created(vm, p, p["backend"], p["generation"], _slots(p, "slots"))


def _run_transaction(vm: Optional[str], p: Params) -> Event:
    holes = tuple(
        RunHole(
            guest_address=to_int(hole["guestPhysicalAddress"]),
            size=to_int(hole["size"]),
            nanoseconds=hole["nanoseconds"],
            certain_nanoseconds=hole.get("certainNanoseconds"),
            guest_inside=hole["guestInside"],
            backing=hole.get("backing"),
            verdict=hole.get("verdict"),
            address_space=hole.get("addressSpace", 0),
        )
        for hole in p["holes"]
    )
    return RunTransaction(
        vm=vm,
        params=p,
        generation=p["generation"],
        at=p["at"],
        thread=p["thread"],
        outcome=p["outcome"],
        calls=p["calls"],
        operations=tuple(Operation.from_wire(operation) for operation in p["operations"]),
        missing_bytes=to_int(p["missingBytes"]),
        longest_nanoseconds=p["longestNanoseconds"],
        total_nanoseconds=p["totalNanoseconds"],
        guest_inside=p["guestInside"],
        holes=holes,
        hole_count=p["holeCount"],
        commit=p.get("commit"),
    )


def _run_ended(vm: Optional[str], p: Params) -> Event:
    return RunEnded(
        vm=vm,
        params=p,
        status=p["status"],
        transactions=p["transactions"],
        calls=p["calls"],
        failed_calls=p["failedCalls"],
        transactions_with_holes=p["transactionsWithHoles"],
        transactions_with_holes_in_guest=p["transactionsWithHolesInGuest"],
        missing_bytes=to_int(p["missingBytes"]),
        lost_records=p.get("lostRecords", 0),
        stopped=p["stopped"],
    )


_DECODERS: Dict[str, Callable[[Optional[str], Params], Event]] = {
    "memslots.committed": _committed,
    "memslots.rolledBack": _rolled_back,
    "memslots.failed": _failed,
    "memslots.retired": lambda vm, p: Retired(vm, p, p["generation"]),
    "vm.created": _created,
    "vm.destroyed": lambda vm, p: Destroyed(vm, p),
    "events.dropped": lambda vm, p: Dropped(vm, p, p["count"]),
    "run.transaction": _run_transaction,
    "run.fault": lambda vm, p: RunFault(vm, p, p["thread"], p["text"]),
    "run.ended": _run_ended,
}


def from_wire(method: str, params: Params) -> Event:
    """The event of a notification.

    >>> from_wire("vm.destroyed", {"vm": "web"}).vm
    'web'
    """
    vm = params.get("vm")
    decoder = _DECODERS.get(method)
    return decoder(vm, params) if decoder else Unknown(vm, params, method)
