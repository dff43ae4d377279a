"""The check that a change survives the failure of each of its calls."""

from __future__ import annotations

import os
from typing import Any, Callable, Generator, Iterable, List, Optional, Tuple, Union

from .errors import MemslotsError, RolledBackError, VMFailedError, errno_number
from .slots import Slot

At = Union[None, int, Iterable[int]]
"""Which calls fail: one, several, or each."""
Step = Tuple[str, Tuple[Any, ...]]
"""A method of a VM, and its arguments."""


class FaultCheck:
    """The check as calls of a VM, for who can wait for them: a `Table`, a daemon's VM, or asyncio's."""

    call: Optional[Step] = None
    """The next call; None: the check has passed."""

    def __init__(self, array: Iterable[Slot], at: At, errno: Union[int, str]) -> None:
        self._steps = _steps(list(array), at, errno_number(errno))
        self.returned(None)

    def returned(self, result: Any) -> None:
        """Passes the result of `call`.

        :raises AssertionError: it is not what it must be; so also for `failed`.
        """
        __tracebackhide__ = True
        self._advance(self._steps.send, result)

    def failed(self, error: MemslotsError) -> None:
        """Passes the error of `call`."""
        __tracebackhide__ = True
        self._advance(self._steps.throw, error)

    def _advance(self, send: Callable[[Any], Step], value: Any) -> None:
        __tracebackhide__ = True
        try:
            self.call = send(value)
        except StopIteration:
            self.call = None


def assert_survives_fault(
    vm: Any, array: Iterable[Slot], at: At, errno: Union[int, str]
) -> None:
    """Submits `array` with a call that fails, and checks that the VM is exactly as before."""
    __tracebackhide__ = True
    check = FaultCheck(array, at, errno)
    while check.call is not None:
        name, arguments = check.call
        try:
            result = getattr(vm, name)(*arguments)
        except MemslotsError as error:
            check.failed(error)
        else:
            check.returned(result)


def _steps(slots: List[Slot], at: At, errno: int) -> Generator[Step, Any, None]:
    __tracebackhide__ = True
    before = yield "get", ()
    operations = (yield "plan", (slots,)).operations
    if not operations:
        raise AssertionError("the array changes nothing, so no call can fail")
    indices = range(len(operations)) if at is None else [at] if isinstance(at, int) else list(at)
    if not indices:
        raise AssertionError("`at` names no call")
    for index in indices:
        if not 0 <= index < len(operations):
            raise AssertionError(
                f"there is no call {index}: the change has {len(operations)} calls, from 0"
            )
    for index in indices:
        what = f"call {index} ({operations[index]}) failed with {os.strerror(errno)}"
        yield "clear_faults", ()
        yield "inject_fault", (index, errno)
        problem, cause = yield from _submit(slots, what, errno)
        yield "clear_faults", ()
        if problem is not None:
            raise AssertionError(problem) from cause
        for method, whose in [("get", "the VM"), ("_installed", "the simulated kernel")]:
            after = yield method, ()
            if after is not None and after != before:
                raise AssertionError(
                    f"{what}; {whose} should be as before\n"
                    f"  before: generation {before.generation}, {list(before)}\n"
                    f"  after:  generation {after.generation}, {list(after)}"
                )


def _submit(
    slots: List[Slot], what: str, errno: int
) -> Generator[Step, Any, Tuple[Optional[str], Optional[MemslotsError]]]:
    """Submits, and returns what is wrong with the result."""
    try:
        yield "submit", (slots,)
    except RolledBackError as error:
        if error.errno == errno:
            return None, None
        return f"{what}, but the error has {error.errno_name}", error
    except VMFailedError as error:
        return f"{what}, and the undo failed too: {error}", error
    except MemslotsError as error:
        return f"{what}, but the submit ended otherwise: {error}", error
    return f"{what}, and the submit succeeded all the same", None
