"""Each method of the protocol: its parameters, and how its result is decoded."""

from __future__ import annotations

import errno as errnos
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, Iterable, List, Optional, Tuple, TypeVar, Union

from .errors import SystemCallError, bad_argument, errno_number
from .info import Capabilities, Memory, Metrics, ServerInfo, SimulatorLimits, VMInfo
from .memory import DirtyLog, Place, pieces
from .receipts import Observer, Receipt
from .slots import GuestRange, Slot, Snapshot, checked

T = TypeVar("T")
Params = Dict[str, Any]


def close_all(descriptors: Iterable[int]) -> None:
    """Closes descriptors that nobody claims."""
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how to read its reply."""

    method: str
    params: Params
    decode_result: Optional[Callable[[Any], T]] = None
    fds: Tuple[int, ...] = ()
    """Descriptors that go with the request."""
    claim: Optional[Callable[[Any, List[int]], T]] = None
    """In place of `decode_result`, where descriptors come with the reply."""
    may_take: float = 0
    """Seconds that the server may need by the request's own words."""

    def timeout(self, seconds: Optional[float]) -> Optional[float]:
        """A client's timeout for this request."""
        return None if seconds is None else seconds + self.may_take

    def decode(self, result: Any, descriptors: List[int]) -> T:
        """The result; descriptors that it does not claim are closed."""
        if self.claim is not None:
            return self.claim(result, descriptors)
        close_all(descriptors)
        assert self.decode_result is not None
        return self.decode_result(result)


def _some(**params: Any) -> Params:
    return {name: value for name, value in params.items() if value is not None}


def _nothing(result: Any) -> None:
    return None


def server_info() -> Call[ServerInfo]:
    return Call("server.info", {}, ServerInfo.from_wire)


def vm_create(
    vm: str, backend: str, limits: Optional[SimulatorLimits], ephemeral: bool
) -> Call[Tuple[str, Capabilities]]:
    params = _some(
        vm=vm,
        backend=backend,
        simulated=None if limits is None else limits.to_wire(),
        ephemeral=True if ephemeral else None,
    )
    return Call(
        "vm.create",
        params,
        lambda result: (result["backend"], Capabilities.from_wire(result["capabilities"])),
    )


def vm_list() -> Call[Tuple[VMInfo, ...]]:
    return Call("vm.list", {}, lambda result: tuple(map(VMInfo.from_wire, result["vms"])))


def vm_destroy(vm: str) -> Call[None]:
    return Call("vm.destroy", {"vm": vm}, _nothing)


def vm_recover(vm: str) -> Call[int]:
    return Call("vm.recover", {"vm": vm}, lambda result: int(result["generation"]))


def memory_create(vm: str, memory: str, size: int, backing: str, shared: bool) -> Call[Memory]:
    params = _some(
        vm=vm, memory=memory, size=size, backing=backing, shared=True if shared else None
    )
    return Call("memory.create", params, Memory.from_wire)


def memory_adopt(vm: str, memory: str, fd: int, size: Optional[int]) -> Call[Memory]:
    return Call(
        "memory.create", _some(vm=vm, memory=memory, fd=0, size=size), Memory.from_wire, (fd,)
    )


def memory_list(vm: str) -> Call[Tuple[Memory, ...]]:
    return Call(
        "memory.list", {"vm": vm}, lambda result: tuple(map(Memory.from_wire, result["memories"]))
    )


def memory_destroy(vm: str, memory: str) -> Call[None]:
    return Call("memory.destroy", {"vm": vm, "memory": memory}, _nothing)


def memory_export(vm: str, memory: str) -> Call[int]:
    def claim(result: Any, descriptors: List[int]) -> int:
        index: int = result["fd"]
        if index >= len(descriptors):
            close_all(descriptors)
            raise SystemCallError(
                "the descriptor did not arrive; has the process too many open files?",
                "system",
                errno=errnos.EMFILE,
            )
        close_all(descriptors[:index] + descriptors[index + 1 :])
        return descriptors[index]

    return Call("memory.export", {"vm": vm, "memory": memory}, claim=claim)


def observer_attach(
    vm: str, observer: str, fd: int, memory: Optional[Iterable[str]]
) -> Call[Observer]:
    names = None if memory is None else list(memory)
    params = _some(vm=vm, observer=observer, fd=0, filter=names)
    return Call("observer.attach", params, Observer.from_wire, (fd,))


def observer_list(vm: str) -> Call[Tuple[Observer, ...]]:
    return Call(
        "observer.list",
        {"vm": vm},
        lambda result: tuple(map(Observer.from_wire, result["observers"])),
    )


def observer_detach(vm: str, observer: str) -> Call[None]:
    return Call("observer.detach", {"vm": vm, "observer": observer}, _nothing)


def milliseconds(quiesce_deadline: float) -> int:
    """A deadline as daemons and the library count it.

    :raises InvalidRequestError: it is negative, or no finite number.
    """
    if not 0 <= quiesce_deadline < float("inf"):  # also not for a NaN
        raise bad_argument(
            f"quiesce_deadline is in seconds, at least 0, not {quiesce_deadline!r}",
            "quiesceDeadlineMs",
        )
    return round(quiesce_deadline * 1000)


def change(
    method: str,
    vm: str,
    slots: Iterable[Slot],
    expected_generation: Optional[int],
    always_quiesce: bool,
    quiesce_deadline: Optional[float],
    continuity: bool,
    attributes: Optional[Iterable[GuestRange]],
) -> Call[Receipt]:
    if always_quiesce and continuity:
        raise bad_argument("always_quiesce and continuity exclude each other; set one")
    params = _some(
        vm=vm,
        slots=[slot.to_wire() for slot in checked(slots)],
        attributes=None if attributes is None else [
            {"guestPhysicalAddress": address, "size": size} for address, size in attributes
        ],
        expectedGeneration=expected_generation,
        quiesce="always" if always_quiesce else "continuity" if continuity else None,
        quiesceDeadlineMs=None if quiesce_deadline is None else milliseconds(quiesce_deadline),
    )
    return Call(method, params, Receipt.from_wire, may_take=quiesce_deadline or 0)


def get(vm: str, generation: Optional[int]) -> Call[Snapshot]:
    return Call("memslots.get", _some(vm=vm, generation=generation), Snapshot.from_wire)


def translate(
    vm: str, addresses: List[int], address_space: int
) -> Call[Tuple[Optional[Place], ...]]:
    def decode(result: Any) -> Tuple[Optional[Place], ...]:
        return tuple(
            None if place is None else Place.from_wire(address, place)
            for address, place in zip(addresses, result["translations"])
        )

    return Call("memslots.translate", _translate(vm, addresses, address_space), decode)


def translate_range(
    vm: str, guest_address: int, size: int, address_space: int
) -> Call[Tuple[Place, ...]]:
    addresses = [{"guestPhysicalAddress": guest_address, "size": size}]
    return Call(
        "memslots.translate",
        _translate(vm, addresses, address_space),
        lambda result: pieces(guest_address, result["translations"][0]),
    )


def _translate(
    vm: str, addresses: Union[List[int], List[Dict[str, int]]], address_space: int
) -> Params:
    return _some(vm=vm, addresses=addresses, addressSpace=address_space or None)


def history(
    vm: str, last: Optional[int], before: Optional[int]
) -> Call[Tuple[Tuple[Receipt, ...], Optional[int]]]:
    return Call(
        "memslots.history",
        _some(vm=vm, last=last, before=before),
        lambda result: (tuple(map(Receipt.from_wire, result["receipts"])), result.get("next")),
    )


def touch(vm: str, guest_address: int, size: int, address_space: int) -> Call[None]:
    params = _some(
        vm=vm,
        guestPhysicalAddress=guest_address,
        size=size,
        addressSpace=address_space or None,
    )
    return Call("guest.touch", params, _nothing)


def dirty_log(
    vm: str,
    slot: Optional[int],
    memory: Optional[str],
    address_space: int,
    clear: bool,
    first_page: int,
    page_count: Optional[int],
) -> Call[DirtyLog]:
    params = _some(
        vm=vm,
        slot=slot,
        memory=memory,
        addressSpace=address_space or None,
        clear=True if clear else None,
        firstPage=first_page or None,
        pageCount=page_count,
    )
    return Call("dirtylog.get", params, lambda result: DirtyLog.from_wire(first_page, result))


def subscribe(vm: Optional[str]) -> Call[Tuple[Snapshot, ...]]:
    return Call(
        "events.subscribe",
        _some(vm=vm),
        lambda result: tuple(map(Snapshot.from_wire, result["vms"])),
    )


def unsubscribe(vm: Optional[str]) -> Call[None]:
    return Call("events.unsubscribe", _some(vm=vm), _nothing)


def fault_inject(
    vm: str, operation: int, errno: Union[int, str], times: int
) -> Call[None]:
    number = errno_number(errno)
    name = errnos.errorcode.get(number, str(number))
    params = {"vm": vm, "operation": operation, "errno": name, "times": times}
    return Call("fault.inject", params, _nothing)


def fault_clear(vm: str) -> Call[None]:
    return Call("fault.inject", {"vm": vm, "clear": True}, _nothing)


def metrics() -> Call[Metrics]:
    return Call("metrics.get", {}, Metrics.from_wire)


def set_atomic(atomic: bool) -> Call[bool]:
    return Call("run.setAtomic", {"atomic": atomic}, lambda result: bool(result["atomic"]))
