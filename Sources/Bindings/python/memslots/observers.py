"""Hooks, which may veto a table's transactions, and observers of its events."""

from __future__ import annotations

import ctypes
import enum
import traceback
from ctypes import byref, c_uint64, sizeof
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from . import _library
from ._handle import Handle
from ._library import library
from ._values import change_from_c
from .slots import Slot


class TableEventKind(enum.IntEnum):
    """What happened to a table."""

    COMMITTED = 0
    ROLLED_BACK = 1
    FAILED = 2
    RECOVERED = 3
    RETIRED = 4
    """The last reader has left all arrays older than the generation."""


@dataclass(frozen=True)
class TableEvent:
    """An event of a table."""

    kind: TableEventKind
    generation: int
    """After the event."""
    previous_generation: int
    errno: Optional[int]
    """For ``ROLLED_BACK`` and ``FAILED``."""


class ChangeKind(enum.IntEnum):
    """How a slot changes."""

    ADDED = 0
    REMOVED = 1
    MOVED = 2
    REFLAGGED = 3


@dataclass(frozen=True)
class SlotChange:
    """One change of a transaction. A replaced slot is removed, then added."""

    kind: ChangeKind
    before: Optional[Slot]
    after: Optional[Slot]


class HookFunctions:
    """What a hook does for each change, in order. Override what you need.

    The submitting thread makes all calls. They may read the table, not submit. Of an exception in
    `commit`, `finish` and `abort` only a traceback is printed: the change is decided by then.
    """

    def prepare(self, change: SlotChange) -> None:
        """The guest runs. An exception vetoes the whole transaction; its text is the reason."""

    def commit(self, change: SlotChange) -> None:
        """The slot calls are made; readers are held out, and vCPUs if the plan needs it."""

    def finish(self, change: SlotChange) -> None:
        """The guest runs with the new array."""

    def abort(self, change: SlotChange) -> None:
        """The change was cancelled, in reverse order."""


# What the library may still call. Each entry stays until its `release` has been called.
_alive: Dict[int, List[Any]] = {}
_last_key = 0


def _keep(callbacks: List[Any]) -> int:
    global _last_key
    _last_key += 1
    _alive[_last_key] = callbacks
    return _last_key


def _forget(context: int) -> None:
    _alive.pop(context, None)


_release = _library.RELEASE(_forget)


class Hook(Handle):
    """A hook of a table. A context manager; `remove` ends it."""

    def __init__(
        self, table: int, functions: HookFunctions, name: str, needs_quiescence: bool
    ) -> None:
        """For `Table.hook`."""

        def prepare(_: Any, change: Any, reason: Any, capacity: int) -> int:
            try:
                functions.prepare(_change(change))
                return 0
            except BaseException as error:  # Nothing may leave through the library's frames.
                text = (str(error) or type(error).__name__).encode()[: capacity - 1]
                ctypes.memmove(reason, text + b"\0", len(text) + 1)
                return 1

        c = _library.CHookFunctions(sizeof(_library.CHookFunctions))
        c.name = name.encode()
        c.needs_quiescence = needs_quiescence
        c.prepare = _library.PREPARE(prepare)
        c.commit = _guard(functions.commit)
        c.finish = _guard(functions.finish)
        c.abort = _guard(functions.abort)
        c.release = _release
        c.context = _keep([c])
        handle = c_uint64()
        try:
            library()("hook_add", table, byref(c), byref(handle))
        except BaseException:
            _alive.pop(c.context)
            raise
        self._handle = handle.value

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Removes it for the transactions that begin afterwards; a running one still calls it."""
        handle = self._take()
        if handle:
            library()("hook_remove", handle)


class Observation(Handle):
    """An observation of a table. A context manager; `end` ends it."""

    def __init__(self, table: int, observer: Callable[[TableEvent], None]) -> None:
        """For `Table.observe`."""

        def call(_: Any, event: Any) -> None:
            try:
                c = event.contents
                observer(
                    TableEvent(
                        TableEventKind(c.kind),
                        c.generation,
                        c.previous_generation,
                        c.kernel_errno or None,
                    )
                )
            except BaseException:
                traceback.print_exc()

        callback = _library.OBSERVER(call)
        context = _keep([callback])
        generation, handle = c_uint64(), c_uint64()
        try:
            library()(
                "observe", table, callback, _release, context, byref(generation), byref(handle)
            )
        except BaseException:
            _alive.pop(context)
            raise
        self.generation = generation.value
        """The generation before the first event."""
        self._handle = handle.value

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends it."""
        handle = self._take()
        if handle:
            library()("observation_end", handle)


def _guard(function: Callable[[SlotChange], None]) -> Any:
    def call(_: Any, change: Any) -> None:
        try:
            function(_change(change))
        except BaseException:
            traceback.print_exc()

    return _library.CHANGE(call)


def _change(pointer: Any) -> SlotChange:
    before, after = change_from_c(pointer.contents)
    return SlotChange(ChangeKind(pointer.contents.kind), before, after)
