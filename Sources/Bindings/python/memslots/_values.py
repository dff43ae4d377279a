"""Slots and receipts between Python and the library's structures."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import _library
from ._library import ANY_SLOT, CRange, CSlot, library
from .errors import InvalidArrayError, Violation, bad_argument
from .memory import Place
from .receipts import Diff, DirtyRange, Durations, Operation, Receipt
from .slots import Flags, GuestRange, Slot, SlotKey, checked

_OPERATIONS = ("create", "delete", "move", "reflag")


def c_slots(slots: Iterable[Slot]) -> ctypes.Array[CSlot]:
    """The slots as the library reads them.

    :raises InvalidArrayError: a slot has no user_address, or a backing that only a daemon has.
    :raises InvalidRequestError: a member is out of the range of its type.
    """
    wanted = checked(slots)
    return (CSlot * len(wanted))(*[_c_slot(slot, index) for index, slot in enumerate(wanted)])


def c_ranges(ranges: Optional[Iterable[GuestRange]]) -> ctypes.Array[CRange]:
    """The ranges as the library reads them.

    :raises InvalidRequestError: a number is out of the range of its type.
    """
    wanted = [
        CRange(u64(address, f"attributes[{index}]"), u64(size, f"attributes[{index}].size"))
        for index, (address, size) in enumerate(ranges or ())
    ]
    return (CRange * len(wanted))(*wanted)


def _c_slot(slot: Slot, index: int) -> CSlot:
    where = f"slots[{index}]"
    if slot.memory is not None or slot.opaque is not None:
        text = f"{where}: a Table's slot has a user_address; memory and opaque are a daemon's"
        raise _invalid(slot, index, "unknown-memory", text)
    if slot.user_address is None:
        raise _invalid(slot, index, "backing-missing", f"{where}: user_address is missing")
    if isinstance(slot.guest_memfd, str):
        text = f"{where}: a Table's guest_memfd is a descriptor, not a name"
        raise _invalid(slot, index, "unknown-memory", text)
    c = CSlot()
    for member, value, name, path in [
        ("slot", ANY_SLOT if slot.id is None else slot.id, "id", "slot"),
        ("address_space", slot.address_space, "address_space", "addressSpace"),
        ("guest_physical_address", slot.guest_address, "guest_address", "guestPhysicalAddress"),
        ("size", slot.size, "size", "size"),
        ("userspace_address", slot.user_address, "user_address", "userspaceAddress"),
        ("flags", int(slot.flags), "flags", "flags"),
        ("memory_object", slot.memory_object, "memory_object", "memoryObject"),
        ("memory_offset", slot.memory_offset, "memory_offset", "memoryOffset"),
        (
            "guest_memfd_offset",
            slot.guest_memfd_offset,
            "guest_memfd_offset",
            "guestMemfdOffset",
        ),
        (
            "guest_memfd",
            0 if slot.guest_memfd is None else slot.guest_memfd,
            "guest_memfd",
            "guestMemfd",
        ),
    ]:
        try:
            setattr(c, member, value)
        except TypeError:
            raise TypeError(f"{where}.{name} is an integer, not {value!r}") from None
        # ctypes drops the upper bits without a word.
        if getattr(c, member) != value:
            raise bad_argument(f"{where}.{name} can't be {value}", f"{where}.{path}")
    return c


def _invalid(slot: Slot, index: int, kind: str, message: str) -> InvalidArrayError:
    violation = Violation(
        kind, f"slots[{index}]", slot.id, None, slot.address_space, None, message, index
    )
    return InvalidArrayError(message, kind, violations=(violation,))


def _slot(c: CSlot) -> Slot:
    flags = Flags(c.flags)
    return Slot(
        guest_address=c.guest_physical_address,
        size=c.size,
        user_address=c.userspace_address,
        flags=flags,
        id=None if c.slot == ANY_SLOT else c.slot,
        address_space=c.address_space,
        memory_object=c.memory_object,
        memory_offset=c.memory_offset,
        guest_memfd=c.guest_memfd if flags & Flags.GUEST_MEMFD else None,
        guest_memfd_offset=c.guest_memfd_offset,
    )


def _slot_or_none(c: CSlot) -> Optional[Slot]:
    return _slot(c) if c.size else None


def from_c(slots: Iterable[CSlot]) -> Tuple[Slot, ...]:
    """The slots that the library returned."""
    return tuple(map(_slot, slots))


def change_from_c(c: Any) -> Tuple[Optional[Slot], Optional[Slot]]:
    """The slot before and after a change."""
    return _slot_or_none(c.before), _slot_or_none(c.after)


def receipt_from_c(c: _library.CReceipt) -> Receipt:
    """The receipt, with its lists."""

    def items(name: str, kind: Any) -> List[Any]:
        return library().list(f"receipt_{name}", kind, ctypes.byref(c))

    operations = tuple(map(_operation, items("operations", _library.COperation)))
    return Receipt(
        generation=c.generation,
        outcome="committed" if c.outcome == 0 else "unchanged",
        diff=_diff(operations),
        operations=operations,
        optimal=c.is_optimal,
        quiesced=c.quiesced,
        because=library().hold_reason(c),
        retired=c.retired,
        durations=Durations(c.blackout_nanoseconds, c.total_nanoseconds),
        warnings=library().texts("receipt_warning", c, c.warnings),
        readers=library().texts("receipt_reader", c, c.readers),
        slots=from_c(items("slots", CSlot)),
        dirty=tuple(
            DirtyRange(run.slot.slot, run.first_page, run.page_count, run.slot.address_space)
            for run in items("dirty_runs", _library.CDirtyRun)
        ),
    )


def _operation(c: _library.COperation) -> Operation:
    before, after = change_from_c(c)
    kind = _OPERATIONS[c.call]
    slot = after or before
    assert slot is not None and slot.id is not None
    return Operation(
        kind=kind,
        slot=slot.id,
        guest_address=slot.guest_address,
        address_space=slot.address_space,
        from_address=before.guest_address if kind == "move" and before else None,
        flags=after.flags if after else Flags.NONE,
        before=before,
        after=after,
    )


def _diff(operations: Sequence[Operation]) -> Diff:
    """What the operations change in sum. The library returns only the numbers of slots."""
    before: Dict[SlotKey, Optional[Slot]] = {}
    after: Dict[SlotKey, Optional[Slot]] = {}
    for operation in operations:
        key = operation.address_space, operation.slot
        before.setdefault(key, operation.before)
        after[key] = operation.after
    lists: Dict[str, List[SlotKey]] = {"added": [], "removed": [], "moved": [], "reflagged": []}
    for key in sorted(after):
        old, new = before[key], after[key]
        if old is None or new is None or not _is_same_memory(old, new):
            if old is not None:
                lists["removed"].append(key)
            if new is not None:
                lists["added"].append(key)
        elif old.guest_address != new.guest_address:
            lists["moved"].append(key)
        else:
            lists["reflagged"].append(key)
    return Diff(**{name: tuple(keys) for name, keys in lists.items()})


def _is_same_memory(old: Slot, new: Slot) -> bool:
    kept = ~Flags.LOG_DIRTY_PAGES
    return (old.size, old.user_address, old.flags & kept) == (
        new.size,
        new.user_address,
        new.flags & kept,
    ) and not (old.flags & Flags.GUEST_MEMFD)


def u32(value: int, name: str) -> int:
    """A number for 32 bits.

    :raises InvalidRequestError: it does not fit.
    """
    return _in_range(value, name, 32)


def u64(value: int, name: str) -> int:
    """A number for 64 bits.

    :raises InvalidRequestError: it does not fit.
    """
    return _in_range(value, name, 64)


def _in_range(value: int, name: str, bits: int) -> int:
    # ctypes would drop the upper bits.
    if not 0 <= value < 1 << bits:
        raise bad_argument(f"{name}: {value} is not in 0 to 2**{bits} - 1", name)
    return value


def place_from_c(span: _library.CSpan, address_space: int) -> Place:
    """The place of a span."""
    return Place(
        guest_address=span.guest_physical_address,
        slot=span.slot,
        offset=None,
        size=span.size,
        user_address=span.address or 0,
        flags=Flags(span.flags),
        address_space=address_space,
    )
