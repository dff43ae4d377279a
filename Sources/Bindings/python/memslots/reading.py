"""Readers of a table: they see one array, whole."""

from __future__ import annotations

import contextlib
from ctypes import byref
from typing import Iterator, Tuple

from . import _library
from ._handle import Handle, Uncopied
from ._library import library
from ._values import place_from_c, u32, u64
from .memory import Place


class Reader(Handle):
    """A reader of a table. Entering takes nanoseconds and never waits. A context manager."""

    def __init__(self, handle: int) -> None:
        """For `Table.reader`."""
        self._handle = handle

    @contextlib.contextmanager
    def enter(self) -> Iterator[View]:
        """Enters the current array: it, and the memory of its slots, do not change until the block
        ends. A submit in between commits, and then waits for this reader up to its deadline.

        :raises ClosedError: it is inside already, or closed.
        """
        c = _library.CView()
        library()("reader_enter", self._handle, byref(c))
        view = View(c)
        try:
            yield view
        finally:
            view._leave()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the registration; of a reader that is inside, when it leaves."""
        handle = self._take()
        if handle:
            library()("reader_close", handle)


class View(Uncopied):
    """The array that a reader has entered, for the thread that entered."""

    def __init__(self, view: _library.CView) -> None:
        """For `Reader.enter`."""
        self._view = view
        self.generation: int = view.generation
        """The array's generation."""

    def translate(
        self, guest_address: int, size: int, *, address_space: int = 0
    ) -> Tuple[Place, ...]:
        """The places of a range of `size` bytes, one for each slot, in order.

        :raises NotFoundError: a part of it is not mapped.
        :raises ClosedError: the reader has left.
        """
        spans = library().list(
            "view_translate",
            _library.CSpan,
            byref(self._view),
            u32(address_space, "address_space"),
            u64(guest_address, "guest_address"),
            u64(size, "size"),
        )
        return tuple(place_from_c(span, address_space) for span in spans)

    def _leave(self) -> None:
        library()("reader_leave", byref(self._view))
