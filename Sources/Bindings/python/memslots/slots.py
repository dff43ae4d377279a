"""Slots of guest memory, and whole arrays of them."""

from __future__ import annotations

import dataclasses
import enum
import errno
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from .errors import InvalidArrayError, Violation, bad_argument

GuestRange = Tuple[int, int]
"""A range of guest memory: its address and its size."""

PAGE_SIZE = 4096
"""Bytes of a page of guest memory."""


class Flags(enum.IntFlag):
    """Flags of a slot; the kernel's ``KVM_MEM_*`` numbers.

    >>> Flags.LOG_DIRTY_PAGES | Flags.READONLY == 3
    True
    """

    NONE = 0
    LOG_DIRTY_PAGES = 1
    """The kernel records which pages the guest writes."""
    READONLY = 2
    """A write of the guest exits instead of changing memory."""
    GUEST_MEMFD = 4
    """The slot has private memory from a guest_memfd."""

    @property
    def names(self) -> List[str]:
        """The names that the protocol uses.

        >>> Flags(3).names
        ['log-dirty-pages', 'readonly']

        :raises InvalidRequestError: a bit has no name.
        """
        unknown = int(self) & ~_ALL_FLAGS
        if unknown:
            raise bad_argument(f"no flag has the bits {unknown:#x}; {_KNOWN_FLAGS}")
        return [name for bit, name in _FLAG_NAMES.items() if self & bit]

    @classmethod
    def from_names(cls, names: Iterable[str]) -> Flags:
        """The flags with these names.

        :raises InvalidRequestError: a name is unknown.
        """
        flags = cls.NONE
        for name in names:
            if name not in _FLAG_BITS:
                raise bad_argument(f"{name!r} is no flag; {_KNOWN_FLAGS}")
            flags |= _FLAG_BITS[name]
        return flags


_FLAG_NAMES = {
    Flags.LOG_DIRTY_PAGES: "log-dirty-pages",
    Flags.READONLY: "readonly",
    Flags.GUEST_MEMFD: "guest-memfd",
}
_FLAG_BITS = {name: bit for bit, name in _FLAG_NAMES.items()}
_ALL_FLAGS = sum(map(int, _FLAG_NAMES))
_KNOWN_FLAGS = "the flags are " + ", ".join(_FLAG_BITS)

SlotKey = Tuple[int, int]
"""An address space and the id of a slot in it."""


@dataclass(frozen=True, repr=False)
class Slot:
    """One range of guest memory and the memory behind it. Addresses, offsets and sizes are bytes.

    Give one backing: ``user_address``, or ``memory`` by the name of a memory object of the daemon.

    >>> ram = Slot(guest_address=0, size=0x200000, user_address=0x7f0000000000)
    >>> low, high = ram.split(0xa0000)
    >>> high
    Slot(guest_address=0xa0000, size=0x160000, user_address=0x7f00000a0000)
    """

    guest_address: int
    """Where the guest sees it; a multiple of 4096, 0 to 2**64 - 1."""
    size: int
    """A multiple of 4096, not 0. To remove a slot, leave it out of the array."""
    user_address: Optional[int] = None
    """Its memory's address in the process that owns the VM; a multiple of 4096."""
    flags: Flags = Flags.NONE
    id: Optional[int] = None
    """The KVM slot id, 0 to ``max_slots - 1``. None: the table or the daemon picks it."""
    address_space: int = 0
    """The KVM address space; almost always 0."""
    memory: Optional[str] = None
    """For a daemon: the name of the memory object behind it."""
    memory_offset: int = 0
    """The slot's offset in its memory object; a multiple of the object's page size."""
    opaque: Optional[str] = None
    """For a VM of the serving process: stands for a backing that may not be shown. Pass it back
    unchanged."""
    memory_object: int = 0
    """For a `Table`: your number of the memory object, which identifies its pages wherever they
    are mapped; 0: none."""
    guest_memfd: Union[None, int, str] = None
    """With `Flags.GUEST_MEMFD`: a descriptor for a `Table`, a memory object's name for a daemon."""
    guest_memfd_offset: int = 0
    """The slot's offset in its guest_memfd."""

    @property
    def end(self) -> int:
        """The first guest address after the slot."""
        return self.guest_address + self.size

    @property
    def key(self) -> SlotKey:
        """The address space and the id.

        :raises InvalidRequestError: the slot has no id yet.
        """
        if self.id is None:
            raise bad_argument(f"{self!r} has no id")
        return self.address_space, self.id

    def __contains__(self, guest_address: int) -> bool:
        """Whether the slot maps this guest address."""
        return self.guest_address <= guest_address < self.end

    def replace(self, **changes: Any) -> Slot:
        """The same slot with other members.

        >>> Slot(0, 4096, 0x1000, id=3).replace(flags=Flags.READONLY)
        Slot(id=3, guest_address=0x0, size=0x1000, user_address=0x1000, flags=readonly)
        """
        return dataclasses.replace(self, **changes)

    def split(self, *guest_addresses: int) -> Tuple[Slot, ...]:
        """The slots that map the same memory, cut at each address. They have no ids.

        :raises InvalidRequestError: an address is not inside, or no multiple of 4096.
        """
        cuts = sorted(set(guest_addresses))
        for cut in cuts:
            if not self.guest_address < cut < self.end or cut % PAGE_SIZE:
                raise bad_argument(f"{self!r} can't be cut at {cut:#x}")
        bounds = [self.guest_address, *cuts, self.end]
        return tuple(self._part(start, end) for start, end in zip(bounds, bounds[1:]))

    def _part(self, start: int, end: int) -> Slot:
        offset = start - self.guest_address
        has_object = self.memory is not None or self.memory_object != 0
        return self.replace(
            id=None,
            guest_address=start,
            size=end - start,
            user_address=None if self.user_address is None else self.user_address + offset,
            memory_offset=self.memory_offset + (offset if has_object else 0),
            guest_memfd_offset=self.guest_memfd_offset + (offset if self.guest_memfd else 0),
        )

    def __repr__(self) -> str:
        return describe(self, _REPR_ORDER)

    def to_wire(self) -> Dict[str, Any]:
        """The slot as the protocol writes it.

        >>> Slot(guest_address=0, size=4096, memory="ram").to_wire()
        {'guestPhysicalAddress': 0, 'size': 4096, 'memory': 'ram', 'memoryOffset': 0}
        """
        wire: Dict[str, Any] = {"guestPhysicalAddress": self.guest_address, "size": self.size}
        if self.id is not None:
            wire["slot"] = self.id
        if self.address_space:
            wire["addressSpace"] = self.address_space
        if self.user_address is not None:
            wire["userspaceAddress"] = self.user_address
        if self.memory is not None:
            wire.update(memory=self.memory, memoryOffset=self.memory_offset)
        elif self.memory_offset:
            wire["memoryOffset"] = self.memory_offset
        if self.opaque is not None:
            wire["opaque"] = self.opaque
        if self.flags:
            wire["flags"] = Flags(self.flags).names
        if self.guest_memfd is not None:
            wire["guestMemfd"] = self.guest_memfd
            wire["guestMemfdOffset"] = self.guest_memfd_offset
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Slot:
        """The slot of a reply or of a scenario.

        >>> Slot.from_wire({"slot": 1, "guestPhysicalAddress": "0x1000", "size": "0x1000",
        ...                 "memory": "ram", "memoryOffset": "0x0", "flags": ["readonly"]})
        Slot(id=1, guest_address=0x1000, size=0x1000, flags=readonly, memory='ram')
        """
        user_address = wire.get("userspaceAddress")
        return cls(
            guest_address=to_int(wire["guestPhysicalAddress"]),
            size=to_int(wire["size"]),
            user_address=None if user_address is None else to_int(user_address),
            flags=Flags.from_names(wire.get("flags", ())),
            id=wire.get("slot"),
            address_space=wire.get("addressSpace", 0),
            memory=wire.get("memory"),
            memory_offset=to_int(wire.get("memoryOffset", 0)),
            opaque=wire.get("opaque"),
            guest_memfd=wire.get("guestMemfd"),
            guest_memfd_offset=to_int(wire.get("guestMemfdOffset", 0)),
        )


def describe(value: Any, names: Iterable[str] = ()) -> str:
    """The ``repr`` of a dataclass: addresses and sizes in hexadecimal, what has its default left out.

    :param names: of its members, in their order; none: all.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(value)}
    parts = []
    for name in names or defaults:
        member = getattr(value, name)
        if member == defaults[name]:
            continue
        if name == "flags" and isinstance(member, int):
            unknown = int(member) & ~_ALL_FLAGS
            known = Flags(member & _ALL_FLAGS).names
            text = "|".join([*known, *([hex(unknown)] if unknown else [])]) or "none"
        elif name.endswith(("address", "size", "offset")) and isinstance(member, int):
            text = f"{member:#x}"
        else:
            text = repr(member)
        parts.append(f"{name}={text}")
    return f"{type(value).__name__}({', '.join(parts)})"


_REPR_ORDER = ["id", *(field.name for field in dataclasses.fields(Slot) if field.name != "id")]


def checked(slots: Iterable[Slot]) -> List[Slot]:
    """An array whose flags can be sent, and that consists of slots.

    :raises InvalidArrayError: a slot has a flag without a name.
    """
    wanted = list(slots)
    faults = []
    for index, slot in enumerate(wanted):
        if not isinstance(slot, Slot):
            raise TypeError(f"slots[{index}] is no Slot but {slot!r}")
        if not isinstance(slot.flags, int):
            raise TypeError(f"slots[{index}].flags are Flags, not {slot.flags!r}")
        unknown = int(slot.flags) & ~_ALL_FLAGS
        if unknown:
            faults.append(
                Violation(
                    kind="unsupported-flag",
                    path=f"slots[{index}].flags",
                    slot=slot.id,
                    address_space=slot.address_space,
                    errno=errno.EINVAL,
                    message=f"slots[{index}]: no flag has the bits {unknown:#x}; {_KNOWN_FLAGS}",
                    index=index,
                )
            )
    if faults:
        first = faults[0]
        raise InvalidArrayError(
            first.message, first.kind, violations=tuple(faults), errno=first.errno
        )
    return wanted


def to_int(value: Union[int, str]) -> int:
    """An address or a count of the wire: an integer, or a string, hexadecimal with ``0x`` or decimal.

    >>> to_int("0xffffffffffffffff") == 2**64 - 1
    True
    """
    return value if isinstance(value, int) else int(value, 0)


@dataclass(frozen=True)
class Snapshot:
    """A VM's whole array at one generation. Iterates over its slots, by address space and id.

    ``snapshot[3]`` is the slot with id 3 of address space 0.
    """

    generation: int
    slots: Tuple[Slot, ...]
    installed: bool = False
    """Whether the VM has failed; the slots are then those that are really installed."""
    vm: Optional[str] = None
    """The daemon's VM; None for a `Table`."""
    attributes: Tuple[GuestRange, ...] = ()
    """The guest ranges that are private, ascending: address and size."""

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, id: int) -> Slot:
        """The slot with this id in address space 0.

        :raises KeyError: there is none.
        """
        slot = self.get(id)
        if slot is None:
            raise KeyError(id)
        return slot

    def get(self, id: int, address_space: int = 0) -> Optional[Slot]:
        """The slot with this id, or None."""
        return self._by_key.get((address_space, id))

    def at(self, guest_address: int, address_space: int = 0) -> Optional[Slot]:
        """The slot that maps a guest address, or None."""
        starts, slots = self._by_address.get(address_space, ([], []))
        index = bisect_right(starts, guest_address) - 1
        return slots[index] if index >= 0 and guest_address in slots[index] else None

    # At the first question: most arrays are only iterated over.

    @cached_property
    def _by_key(self) -> Dict[SlotKey, Slot]:
        return {slot.key: slot for slot in self.slots if slot.id is not None}

    @cached_property
    def _by_address(self) -> Dict[int, Tuple[List[int], List[Slot]]]:
        spaces: Dict[int, Tuple[List[int], List[Slot]]] = {}
        for slot in sorted(self.slots, key=lambda slot: slot.guest_address):
            starts, slots = spaces.setdefault(slot.address_space, ([], []))
            starts.append(slot.guest_address)
            slots.append(slot)
        return spaces

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Snapshot:
        """The array of a reply."""
        return cls(
            generation=wire["generation"],
            slots=tuple(Slot.from_wire(slot) for slot in wire["slots"]),
            installed=wire.get("installed", False),
            vm=wire.get("vm"),
            attributes=private_ranges(wire),
        )


def private_ranges(wire: Mapping[str, Any]) -> Tuple[GuestRange, ...]:
    """The private ranges of a reply or an event."""
    return tuple(
        (to_int(item["guestPhysicalAddress"]), to_int(item["size"]))
        for item in wire.get("attributes", ())
    )
