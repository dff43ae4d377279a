"""Guest memory by address and by page: translations and dirty logs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Tuple

from .slots import Flags, describe, to_int


@dataclass(frozen=True, repr=False)
class Place:
    """The place of a guest address, or of a piece of a range, in memory."""

    guest_address: int
    slot: Optional[int]
    """The slot's id; None for a piece that no slot maps."""
    offset: Optional[int] = None
    """Bytes from the slot's beginning; None from a `Table`, and for a piece that no slot maps."""
    size: Optional[int] = None
    """Bytes of the piece; None where a daemon was asked for one address."""
    user_address: Optional[int] = None
    """Where the byte is in the process that owns the VM."""
    memory: Optional[str] = None
    """The memory object of a daemon's VM."""
    memory_offset: Optional[int] = None
    """Where the byte is in it."""
    opaque: Optional[str] = None
    flags: Flags = Flags.NONE
    address_space: int = 0

    def __repr__(self) -> str:
        return describe(self)

    @property
    def mapped(self) -> bool:
        """Whether a slot maps it."""
        return self.slot is not None

    @classmethod
    def from_wire(cls, guest_address: int, wire: Mapping[str, Any]) -> Place:
        """An element of the reply to ``memslots.translate``."""

        def optional(name: str) -> Optional[int]:
            return to_int(wire[name]) if name in wire else None

        return cls(
            guest_address=guest_address,
            slot=wire["slot"],
            offset=optional("offset"),
            size=optional("size"),
            user_address=optional("userspaceAddress"),
            memory=wire.get("memory"),
            memory_offset=optional("memoryOffset"),
            opaque=wire.get("opaque"),
            flags=Flags.from_names(wire.get("flags", ())),
            address_space=wire.get("addressSpace", 0),
        )


def pieces(guest_address: int, wire: Any) -> Tuple[Place, ...]:
    """The pieces of a range in the reply to ``memslots.translate``, which leaves their addresses out."""
    result = []
    for item in wire:
        place = Place.from_wire(guest_address, item)
        result.append(place)
        guest_address += place.size or 0
    return tuple(result)


@dataclass(frozen=True)
class DirtyLog:
    """The dirty pages of a slot, or of a memory object. Iterates over their numbers.

    >>> log = DirtyLog(first_page=64, pages=12, dirty=2, bitmap=bytes([0x18, 0]))
    >>> list(log)
    [67, 68]
    >>> 67 in log, 70 in log
    (True, False)
    """

    first_page: int
    """The number of the first page read, from the slot's beginning, or the object's."""
    pages: int
    """How many were read."""
    dirty: int
    """How many of them are dirty."""
    bitmap: bytes
    """One bit for each page; bit 0 of byte 0 is `first_page`."""
    logged: Optional[int] = None
    """Of a memory object: how many of the pages a slot logs. The others are reported as clean."""
    page_size: int = 4096
    """The bytes of a page."""

    def __iter__(self) -> Iterator[int]:
        for index, byte in enumerate(self.bitmap):
            if byte:
                for bit in range(8):
                    if byte >> bit & 1:
                        yield self.first_page + 8 * index + bit

    def __contains__(self, page: int) -> bool:
        index = page - self.first_page
        return 0 <= index < self.pages and bool(self.bitmap[index // 8] >> index % 8 & 1)

    def __len__(self) -> int:
        """How many pages are dirty."""
        return self.dirty

    @classmethod
    def from_wire(cls, first_page: int, wire: Mapping[str, Any]) -> DirtyLog:
        """The reply to ``dirtylog.get``."""
        return cls(
            first_page=first_page,
            pages=wire["pages"],
            dirty=wire["dirty"],
            bitmap=base64.b64decode(wire["bitmap"]),
            logged=wire.get("logged"),
            page_size=to_int(wire.get("pageSize", 4096)),
        )
