"""What a submit did, or a plan would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Tuple, Union

from .slots import Flags, Slot, SlotKey, describe, to_int


@dataclass(frozen=True, repr=False)
class Operation:
    """One slot call of a plan."""

    kind: str
    """``create``, ``delete``, ``move`` or ``reflag``."""
    slot: int
    """The slot's id."""
    guest_address: int
    """After the call; of a delete, before."""
    address_space: int = 0
    from_address: Optional[int] = None
    """Of a move: the guest address before."""
    flags: Flags = Flags.NONE
    """After the call; none for a delete."""
    because: Optional[str] = None
    """Why it is needed, if that is not the change itself: ``cycle`` or ``replaced``. Daemon only."""
    before: Optional[Slot] = None
    """The slot before the call. `Table` only."""
    after: Optional[Slot] = None
    """The slot after the call. `Table` only."""

    def __repr__(self) -> str:
        return describe(self)

    def __str__(self) -> str:
        space = f" of address space {self.address_space}" if self.address_space else ""
        if self.from_address is not None:
            return f"move slot {self.slot}{space} from {self.from_address:#x} to {self.guest_address:#x}"
        return f"{self.kind} slot {self.slot}{space} at {self.guest_address:#x}"

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Operation:
        """The operation of a reply or event."""
        return cls(
            kind=wire["op"],
            slot=wire["slot"],
            guest_address=to_int(wire["guestPhysicalAddress"]),
            address_space=wire.get("addressSpace", 0),
            from_address=to_int(wire["from"]) if "from" in wire else None,
            flags=Flags.from_names(wire.get("flags", ())),
            because=wire.get("because"),
        )


@dataclass(frozen=True)
class Diff:
    """Which slots a transaction changed, as ``(address space, id)``, ascending.

    A replaced slot, with another size or backing, is in `removed` and in `added`.
    """

    added: Tuple[SlotKey, ...] = ()
    removed: Tuple[SlotKey, ...] = ()
    moved: Tuple[SlotKey, ...] = ()
    reflagged: Tuple[SlotKey, ...] = ()

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Diff:
        """The diff of a receipt."""

        def keys(list: Iterable[Union[int, Mapping[str, int]]]) -> Tuple[SlotKey, ...]:
            return tuple(
                (0, key) if isinstance(key, int) else (key["addressSpace"], key["slot"])
                for key in list
            )

        return cls(
            **{name: keys(wire[name]) for name in ("added", "removed", "moved", "reflagged")}
        )


@dataclass(frozen=True)
class Durations:
    """How long the steps of a transaction took, in nanoseconds. A `Table` has `blackout` and
    `total`; the others are None there."""

    blackout: int = 0
    """The time for which vCPUs were held out of the guest."""
    total: int = 0
    prepare: Optional[int] = None
    quiesce: Optional[int] = None
    harvest: Optional[int] = None
    apply: Optional[int] = None


@dataclass(frozen=True)
class DirtyRange:
    """Dirty pages that no logging slot of the new array maps. They are not reported again."""

    slot: int
    """The id in the array before."""
    first_page: int
    """Counted from the slot's first page, 4096 bytes each."""
    page_count: int
    address_space: int = 0


@dataclass(frozen=True)
class Observer:
    """A vhost-user back end that a daemon keeps in step with a VM."""

    name: str
    state: str
    """``attached``, or ``lost``."""
    regions: int
    """How many regions of memory it has."""
    messages: Mapping[str, int]
    """How many messages of each name it was sent: for a receipt's transaction, or in all."""
    reason: Optional[str] = None
    """Why it is lost."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Observer:
        """The observer of a reply or a receipt."""
        return cls(
            wire["observer"], wire["state"], wire["regions"], wire["messages"], wire.get("reason")
        )


@dataclass(frozen=True)
class AttributeChange:
    """A guest range that became private, or shared again."""

    guest_address: int
    size: int
    private: bool

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> AttributeChange:
        """The change of a receipt."""
        return cls(to_int(wire["guestPhysicalAddress"]), to_int(wire["size"]), wire["private"])


@dataclass(frozen=True)
class Receipt:
    """What a transaction did."""

    generation: int
    """Afterwards."""
    outcome: str
    """``committed``, or ``unchanged`` if the VM had the array already."""
    diff: Diff
    operations: Tuple[Operation, ...]
    """In the order made."""
    optimal: bool
    """Whether it is proved that no plan has fewer operations."""
    quiesced: bool
    """Whether vCPUs were held out of the guest."""
    retired: bool
    """Whether every reader of the old array has left. Do not unmap its memory before."""
    durations: Durations
    warnings: Tuple[str, ...] = ()
    """What works but will disappoint, as sentences."""
    readers: Tuple[str, ...] = ()
    """Readers that still use the old array."""
    slots: Tuple[Slot, ...] = ()
    """The array with its ids, in the order submitted. A daemon returns it if an id was omitted."""
    dirty: Tuple[DirtyRange, ...] = ()
    kernel_memory: Optional[int] = None
    """KVM VMs of a daemon: about how many bytes the kernel allocates for the array."""
    vm: Optional[str] = None
    because: Optional[str] = None
    """Why vCPUs were held: ``overlap``, ``log-ends``, ``several-visible-changes``, ``hook`` or
    ``asked``, the first that applies. None if they were not."""
    observers: Tuple[Observer, ...] = ()
    """What each observer of a daemon's VM was sent."""
    attributes: Tuple[AttributeChange, ...] = ()
    """Ascending the guest ranges that became private, then those that became shared; of a daemon's VM."""

    def __str__(self) -> str:
        """A line, such as ``generation 2 committed by 3 calls; vCPUs were held for 41.5 µs (overlap)``."""
        if not self.committed:
            return f"generation {self.generation} unchanged"
        count = len(self.operations)
        text = f"generation {self.generation} committed by {count} call{'' if count == 1 else 's'}"
        if self.quiesced:
            held = self.durations.blackout / 1000
            text += f"; vCPUs were held for {held:.1f} µs ({self.because or 'reason unknown'})"
        if not self.retired:
            text += f"; the old array is still in use by {', '.join(self.readers)}"
        return "; ".join([text, *self.warnings])

    @property
    def committed(self) -> bool:
        """Whether the array changed."""
        return self.outcome == "committed"

    def assert_calls_at_most(self, count: int) -> None:
        """Fails a test if the transaction needed more slot calls.

        :raises AssertionError: with each call.
        """
        __tracebackhide__ = True
        if len(self.operations) > count:
            calls = "\n".join(f"  {index}: {call}" for index, call in enumerate(self.operations))
            raise AssertionError(
                f"{len(self.operations)} calls, at most {count} expected:\n{calls}"
            )

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Receipt:
        """The receipt of a reply or event."""
        return cls(
            generation=wire["generation"],
            outcome=wire["outcome"],
            diff=Diff.from_wire(wire["diff"]),
            operations=tuple(Operation.from_wire(operation) for operation in wire["operations"]),
            optimal=wire["optimal"],
            quiesced=wire["quiesced"],
            retired=wire["retired"],
            durations=Durations(**wire["nanoseconds"]),
            warnings=tuple(wire["warnings"]),
            readers=tuple(wire.get("readers", ())),
            slots=tuple(Slot.from_wire(slot) for slot in wire.get("slots", ())),
            dirty=tuple(
                DirtyRange(item["slot"], first, count, item.get("addressSpace", 0))
                for item in wire.get("dirty", ())
                for first, count in item["ranges"]
            ),
            kernel_memory=wire.get("kernelMemory"),
            vm=wire.get("vm"),
            because=wire.get("because"),
            observers=tuple(map(Observer.from_wire, wire.get("observers", ()))),
            attributes=tuple(map(AttributeChange.from_wire, wire.get("attributes", ()))),
        )
