"""What can go wrong. What a daemon, the library or this package refuses is a `MemslotsError`.

A value of a wrong type is a ``TypeError``, as everywhere in Python.
"""

from __future__ import annotations

import errno as errnos
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple, Type, Union


def errno_from_name(name: Optional[str]) -> Optional[int]:
    """The number of an errno's name, such as ``ENOMEM``; None where this system has none of the name.

    >>> errno_from_name("ENOMEM"), errno_from_name("9")
    (12, 9)
    """
    if name is None:
        return None
    number: Optional[int] = int(name) if name.isdigit() else getattr(errnos, name, None)
    return number


def errno_number(errno: Union[int, str]) -> int:
    """The number of an errno that is given by its number or its name.

    :raises InvalidRequestError: it is none.
    """
    if not isinstance(errno, (int, str)):
        raise TypeError(f"errno is a number or a name, not {errno!r}")
    number = errno_from_name(errno) if isinstance(errno, str) else errno
    if number is None or not 0 <= number < 1 << 31:
        raise bad_argument(f"{errno!r} is no errno; one is errno.ENOMEM, or 'ENOMEM'", "errno")
    return number


@dataclass(frozen=True)
class Violation:
    """A rule that a submitted array breaks."""

    kind: str
    """The rule, such as ``overlap``; Docs/Protocol.md lists them."""
    path: str = ""
    """The member at fault, such as ``slots[3].size``."""
    slot: Optional[int] = None
    """The slot's id, if it has one."""
    other_slot: Optional[int] = None
    """The other slot involved."""
    address_space: int = 0
    errno: Optional[int] = None
    """What KVM would return; None if KVM does not check the rule."""
    message: str = ""
    """A sentence."""
    index: Optional[int] = None
    """The slot's position in the array; None if the whole array is at fault."""
    other_index: Optional[int] = None
    """The other slot's position; from a `Table` only."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Violation:
        """The fault of an error reply."""
        position = re.match(r"slots\[(\d+)\]", wire.get("path", ""))
        return cls(
            kind=wire["kind"],
            path=wire.get("path", ""),
            slot=wire.get("slot"),
            other_slot=wire.get("otherSlot"),
            address_space=wire.get("addressSpace", 0),
            errno=errno_from_name(wire.get("errno")),
            message=wire.get("message", ""),
            index=int(position.group(1)) if position else None,
        )


class MemslotsError(Exception):
    """An error of the daemon, of the library, or of the connection.

    The text is a sentence. Nothing of a refused request took effect, except where a subclass says
    otherwise.
    """

    code: Optional[int]
    """The JSON-RPC code, or the negative code of libmemslots; None for errors of this package."""
    kind: str
    """A stable name, such as ``generation-conflict``."""
    data: Mapping[str, Any]
    """What the daemon sent beside it: see *Errors* in Docs/Protocol.md. Of a `Table` empty."""
    violations: Tuple[Violation, ...]
    """Each fault of an array, for `InvalidArrayError`."""
    errno: Optional[int]
    """The kernel's errno behind it, if there is one."""

    def __init__(
        self,
        message: str,
        kind: str = "",
        code: Optional[int] = None,
        data: Optional[Mapping[str, Any]] = None,
        violations: Tuple[Violation, ...] = (),
        errno: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.code = code
        self.data = data or {}
        self.violations = violations
        self.errno = errno

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        arguments = (
            self.message,
            self.kind,
            self.code,
            dict(self.data),
            self.violations,
            self.errno,
        )
        return type(self), arguments

    @property
    def slot(self) -> Optional[int]:
        """The id of the slot at fault, if there is one."""
        value: Optional[int] = self.data.get("slot")
        return self.violations[0].slot if value is None and self.violations else value

    @property
    def path(self) -> Optional[str]:
        """The member of the request at fault, such as ``slots[0].size``."""
        value: Optional[str] = self.data.get("path")
        return (self.violations[0].path or None) if value is None and self.violations else value

    @property
    def errno_name(self) -> Optional[str]:
        """The name of `errno`, such as ``ENOMEM``."""
        return None if self.errno is None else errnos.errorcode.get(self.errno, str(self.errno))


class InvalidRequestError(MemslotsError, ValueError):
    """The request, or an argument, is wrong: ``invalid-params``, ``invalid-request``,
    ``method-not-found``, ``parse-error``, ``bad-argument``."""


def bad_argument(message: str, path: Optional[str] = None) -> InvalidRequestError:
    """The error for an argument that this package refuses by itself."""
    return InvalidRequestError(message, "bad-argument", data={"path": path} if path else None)


class NotFoundError(MemslotsError):
    """No such VM, memory object, observer, slot, generation or mapped address."""


class WrongSlotError(MemslotsError):
    """The slot does not log dirty pages (``not-logging``), or it is read-only (``read-only``)."""


class AlreadyExistsError(MemslotsError):
    """That name is taken: ``vm-exists``, ``memory-exists``, ``observer-exists``. Or a `Daemon` runs that
    should be started: ``already-running``."""


class InvalidArrayError(MemslotsError, ValueError):
    """The array breaks a rule; `violations` has each fault. ``kind`` is that of the first."""


class GenerationConflictError(MemslotsError):
    """The table is not at the expected generation. Read it, and submit against that."""

    @property
    def generation(self) -> Optional[int]:
        """The present generation; None from a `Table`."""
        value: Optional[int] = self.data.get("generation")
        return value


class PrepareRejectedError(MemslotsError):
    """A hook vetoed the change, or the daemon's state directory can't be written."""

    @property
    def reason(self) -> str:
        """Why."""
        return str(self.data.get("reason", self.message))


class RolledBackError(MemslotsError):
    """A kernel call failed with `errno`. All was undone: the VM is exactly as before. If the call came
    after the hold of ``continuity``, all pages of the logs that had ended are dirty."""

    @property
    def operation(self) -> Optional[int]:
        """The index of the operation that failed; None from a `Table`."""
        value: Optional[int] = self.data.get("operation")
        return value


class VMFailedError(MemslotsError):
    """The undo failed too, now or before. vCPUs stay out of the guest until ``recover()`` succeeds."""


class MemoryInUseError(MemslotsError):
    """A slot, or a reader that has not left, uses the memory."""


class LimitExceededError(MemslotsError):
    """A limit of the daemon, or the number of handles of a process."""

    @property
    def limit(self) -> Optional[str]:
        """The name of the limit, as in `ServerInfo.limits`."""
        value: Optional[str] = self.data.get("limit")
        return value


class NotPermittedError(MemslotsError):
    """The role of the connection, or the kind of the VM, does not allow it."""


class UnavailableError(MemslotsError):
    """The host, or this kind of VM, does not have it: ``backend-unavailable``, ``wrong-backend``,
    ``not-supported``."""


class QuiesceTimeoutError(MemslotsError):
    """A vCPU or a reader did not leave before the deadline. Nothing was applied; with ``continuity``
    the additions before the hold were made and deleted again."""

    @property
    def vcpus(self) -> Tuple[str, ...]:
        """The vCPUs that did not leave; empty from a `Table`, whose message names them."""
        return tuple(self.data.get("vcpus", ()))

    @property
    def readers(self) -> Tuple[str, ...]:
        """The readers that did not leave; empty from a `Table`."""
        return tuple(self.data.get("readers", ()))


class ShuttingDownError(MemslotsError):
    """The daemon ends."""


class ClosedError(MemslotsError):
    """The table, reader, hook or client is closed."""


class ReentrantError(MemslotsError):
    """Called from inside a callback of the same table; waiting would deadlock."""


class SystemCallError(MemslotsError):
    """A system call of the library failed with `errno`. None: what the library read from the kernel is
    not what it was given, such as the slots of `Table.kvm`."""


class LibraryNotFoundError(MemslotsError):
    """libmemslots can't be loaded, or has another version of the interface."""


class ProgramNotFoundError(MemslotsError):
    """memslotd or memslotctl is not there."""


class ProgramFailedError(MemslotsError):
    """memslotd or memslotctl did not do its work; the message contains what it printed."""


class ConnectError(MemslotsError, ConnectionError):
    """Nobody listens on the socket, or it can't be reached."""


class UntrustedServerError(MemslotsError, PermissionError):
    """The server's user is neither root nor ours, and another user could replace the socket."""


class ConnectionLostError(MemslotsError, ConnectionError):
    """The server closed the connection. ``reconnect()`` opens another one."""

    @property
    def may_have_executed(self) -> bool:
        """Whether a request was sent and its reply is missing: it may have taken effect."""
        return bool(self.data.get("sent", False))


class ClientClosedError(ClosedError, ConnectionLostError):
    """The client was closed on our side, before the call or while it waited."""


class RequestTimeoutError(MemslotsError, TimeoutError):
    """No reply, or no event, within the timeout. A request that was sent may still take effect."""


_BY_CODE: Dict[int, Type[MemslotsError]] = {
    # JSON-RPC.
    -32700: InvalidRequestError,
    -32600: InvalidRequestError,
    -32601: InvalidRequestError,
    -32602: InvalidRequestError,
    -32001: NotFoundError,
    -32002: AlreadyExistsError,
    -32003: InvalidArrayError,
    -32004: GenerationConflictError,
    -32005: PrepareRejectedError,
    -32006: RolledBackError,
    -32007: VMFailedError,
    -32008: MemoryInUseError,
    -32009: LimitExceededError,
    -32010: NotPermittedError,
    -32011: UnavailableError,
    -32012: QuiesceTimeoutError,
    -32013: ShuttingDownError,
    # libmemslots.
    -1: InvalidArrayError,
    -2: GenerationConflictError,
    -3: PrepareRejectedError,
    -4: QuiesceTimeoutError,
    -5: RolledBackError,
    -6: VMFailedError,
    -7: ReentrantError,
    -8: ClosedError,
    -9: InvalidRequestError,
    -10: NotFoundError,
    -11: NotFoundError,
    -13: SystemCallError,
    -14: UnavailableError,
    -15: ClosedError,
    -16: LimitExceededError,
    -17: WrongSlotError,
}


def error_class(code: int, kind: str) -> Type[MemslotsError]:
    """The exception for a code of the protocol or of libmemslots."""
    if kind in ("not-logging", "read-only"):
        return WrongSlotError
    return _BY_CODE.get(code, MemslotsError)


def from_wire(error: Mapping[str, Any]) -> MemslotsError:
    """The exception for the ``error`` of a reply.

    >>> from_wire({"code": -32004, "message": "generation 0 was expected",
    ...            "data": {"kind": "generation-conflict", "generation": 1}}).kind
    'generation-conflict'
    """
    data = error.get("data", {})
    kind = data.get("kind", "")
    return error_class(error["code"], kind)(
        error["message"],
        kind,
        error["code"],
        data,
        tuple(Violation.from_wire(violation) for violation in data.get("violations", ())),
        errno_from_name(data.get("errno")),
    )
