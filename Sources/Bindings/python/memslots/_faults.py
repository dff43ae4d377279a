"""The check that a change survives the failure of each of its calls."""

from __future__ import annotations

import errno as errnos
import os
from typing import Iterable, List, Optional, Protocol

from .errors import MemslotsError, RolledBackError, VMFailedError
from .receipts import Receipt
from .slots import Slot, Snapshot


class Faultable(Protocol):
    """A simulated VM: a `Table`'s or a daemon's."""

    def get(self) -> Snapshot: ...

    def plan(self, slots: Iterable[Slot]) -> Receipt: ...

    def submit(self, slots: Iterable[Slot]) -> Receipt: ...

    def inject_fault(self, operation: int, errno: int, times: int = 1) -> None: ...

    def clear_faults(self) -> None: ...

    def _installed(self) -> Optional[Snapshot]:
        """What the simulated kernel has, where that can be read."""


def assert_survives_fault(
    vm: Faultable, array: Iterable[Slot], at: Optional[int], errno: int
) -> None:
    """Submits `array` with a call that fails, and checks that the VM is exactly as before."""
    __tracebackhide__ = True
    slots: List[Slot] = list(array)
    before = vm.get()
    operations = vm.plan(slots).operations
    if not operations:
        raise AssertionError("the array changes nothing, so no call can fail")
    if at is not None and not 0 <= at < len(operations):
        raise AssertionError(
            f"there is no call {at}: the change has {len(operations)} calls, from 0"
        )
    for index in range(len(operations)) if at is None else [at]:
        what = f"call {index} ({operations[index]}) failed with {os.strerror(errno)}"
        vm.clear_faults()
        vm.inject_fault(index, errno)
        try:
            vm.submit(slots)
            raise AssertionError(f"{what}, and the submit succeeded all the same")
        except RolledBackError as error:
            if error.errno != errno:
                name = errnos.errorcode.get(error.errno or 0, str(error.errno))
                raise AssertionError(f"{what}, but the error has {name}") from error
        except VMFailedError as error:
            raise AssertionError(f"{what}, and the undo failed too: {error}") from error
        except MemslotsError as error:
            raise AssertionError(f"{what}, but the submit ended otherwise: {error}") from error
        finally:
            vm.clear_faults()
        for array_after, whose in [(vm.get(), "the VM"), (vm._installed(), "the simulated kernel")]:
            if array_after is not None and array_after != before:
                raise AssertionError(
                    f"{what}; {whose} should be as before\n"
                    f"  before: generation {before.generation}, {list(before)}\n"
                    f"  after:  generation {array_after.generation}, {list(array_after)}"
                )
