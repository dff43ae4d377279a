"""Read, change, submit, and begin again if somebody else was faster."""

from __future__ import annotations

from typing import Callable, Iterable, Optional, Protocol

from .errors import GenerationConflictError
from .receipts import Receipt
from .slots import Slot, Snapshot

Change = Callable[[Snapshot], Iterable[Slot]]
"""The array that is wanted in place of the present one."""


class Versioned(Protocol):
    """A `Table`, or a VM of a daemon."""

    def get(self) -> Snapshot: ...

    def submit(
        self, slots: Iterable[Slot], *, expected_generation: Optional[int] = None
    ) -> Receipt: ...


def update(vm: Versioned, change: Change, attempts: int) -> Receipt:
    """Submits what `change` returns for the present array, on its generation."""
    while True:
        attempts -= 1
        array = vm.get()
        try:
            return vm.submit(change(array), expected_generation=array.generation)
        except GenerationConflictError:
            if attempts <= 0:
                raise
