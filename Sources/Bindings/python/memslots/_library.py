"""libmemslots by ctypes: its structures and functions, as memslots.h declares them."""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .errors import LibraryNotFoundError, MemslotsError, Violation, error_class

ABI = 1
NAME = f"libmemslots.so.{ABI}"
ANY_SLOT = 0xFFFFFFFF
TOO_SMALL = -12
NOT_SUPPORTED = -14


class CSlot(Structure):
    _fields_ = [
        ("slot", c_uint32),
        ("address_space", c_uint32),
        ("guest_physical_address", c_uint64),
        ("size", c_uint64),
        ("userspace_address", c_uint64),
        ("flags", c_uint32),
        ("memory_object", c_uint32),
        ("memory_offset", c_uint64),
        ("guest_memfd_offset", c_uint64),
        ("guest_memfd", c_int32),
        ("reserved", c_uint32),
    ]


class CViolation(Structure):
    _fields_ = [
        ("index", c_int64),
        ("other_index", c_int64),
        ("slot", c_uint32),
        ("address_space", c_uint32),
        ("kernel_errno", c_int32),
        ("reserved", c_uint32),
        ("kind", c_char * 32),
        ("path", c_char * 64),
        ("message", c_char * 256),
    ]


class CSimulatorOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_slots", c_uint32),
        ("address_spaces", c_uint32),
        ("guest_physical_bits", c_uint32),
        ("flags", c_uint32),
    ]


class CRange(Structure):
    _fields_ = [("guest_physical_address", c_uint64), ("size", c_uint64)]


class CKVMOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("installed", POINTER(CSlot)),
        ("installed_count", c_size_t),
        ("dirty_log", c_uint32),
        ("dirty_ring_bytes", c_uint32),
        ("keeps_other_mappings", c_bool),
        ("private_range_count", c_size_t),
        ("private_ranges", POINTER(CRange)),
    ]


class CCapabilities(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_slots", c_uint32),
        ("address_spaces", c_uint32),
        ("max_guest_page", c_uint64),
        ("max_pages_per_slot", c_uint64),
        ("flags", c_uint32),
        ("memory_attributes", c_bool),
    ]


class CSubmitOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("expected_generation", c_uint64),
        ("has_expected_generation", c_bool),
        ("always_quiesce", c_bool),
        ("quiesce_deadline_milliseconds", c_uint32),
        ("continuity", c_bool),
        ("sets_private_ranges", c_bool),
        ("private_range_count", c_size_t),
        ("private_ranges", POINTER(CRange)),
    ]


class CReceipt(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("generation", c_uint64),
        ("outcome", c_uint32),
        ("added", c_uint32),
        ("removed", c_uint32),
        ("moved", c_uint32),
        ("reflagged", c_uint32),
        ("operations", c_uint32),
        ("unmapped_dirty_runs", c_uint32),
        ("warnings", c_uint32),
        ("readers", c_uint32),
        ("quiesced", c_bool),
        ("retired", c_bool),
        ("is_optimal", c_bool),
        ("blackout_nanoseconds", c_uint64),
        ("total_nanoseconds", c_uint64),
        ("details", c_uint64),
    ]


class COperation(Structure):
    _fields_ = [("call", c_uint32), ("reserved", c_uint32), ("before", CSlot), ("after", CSlot)]


class CDirtyRun(Structure):
    _fields_ = [("slot", CSlot), ("first_page", c_uint64), ("page_count", c_uint64)]


class CSpan(Structure):
    _fields_ = [
        ("guest_physical_address", c_uint64),
        ("size", c_uint64),
        ("address", c_void_p),
        ("slot", c_uint32),
        ("flags", c_uint32),
    ]


class CView(Structure):
    _fields_ = [
        ("reader", c_uint64),
        ("ticket", c_uint64),
        ("generation", c_uint64),
        ("array", c_void_p),
    ]


class CVCPUOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("descriptor", c_int),
        ("id", c_uint32),
        ("kvm_run", c_void_p),
        ("name", c_char_p),
        ("kick_signal", c_int32),
    ]


class CChange(Structure):
    _fields_ = [("kind", c_uint32), ("reserved", c_uint32), ("before", CSlot), ("after", CSlot)]


PREPARE = CFUNCTYPE(c_int32, c_void_p, POINTER(CChange), POINTER(c_char), c_size_t)
CHANGE = CFUNCTYPE(None, c_void_p, POINTER(CChange))
RELEASE = CFUNCTYPE(None, c_void_p)


class CHookFunctions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("context", c_void_p),
        ("name", c_char_p),
        ("needs_quiescence", c_bool),
        ("prepare", PREPARE),
        ("commit", CHANGE),
        ("finish", CHANGE),
        ("abort", CHANGE),
        ("release", RELEASE),
    ]


class CEvent(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("kernel_errno", c_int32),
        ("generation", c_uint64),
        ("previous_generation", c_uint64),
    ]


OBSERVER = CFUNCTYPE(None, c_void_p, POINTER(CEvent))

# A handle is a structure of one number, which x86-64 and AArch64 pass as that number.
HANDLE = c_uint64
_LIST = [c_size_t, POINTER(c_size_t)]
_FUNCTIONS: Dict[str, List[Any]] = {
    "memslots_error_violations": [POINTER(CViolation), *_LIST],
    "memslots_open_simulator": [POINTER(CSimulatorOptions), POINTER(HANDLE)],
    "memslots_open_kvm": [c_int, POINTER(CKVMOptions), POINTER(HANDLE)],
    "memslots_close": [HANDLE],
    "memslots_get_capabilities": [HANDLE, POINTER(CCapabilities)],
    "memslots_submit": [
        HANDLE,
        POINTER(CSlot),
        c_size_t,
        POINTER(CSubmitOptions),
        POINTER(CReceipt),
    ],
    "memslots_plan": [HANDLE, POINTER(CSlot), c_size_t, POINTER(CSubmitOptions), POINTER(CReceipt)],
    "memslots_receipt_operations": [POINTER(CReceipt), POINTER(COperation), *_LIST],
    "memslots_receipt_slots": [POINTER(CReceipt), POINTER(CSlot), *_LIST],
    "memslots_receipt_dirty_runs": [POINTER(CReceipt), POINTER(CDirtyRun), *_LIST],
    "memslots_get": [HANDLE, POINTER(CSlot), *_LIST, POINTER(c_uint64)],
    "memslots_get_private_ranges": [HANDLE, POINTER(CRange), *_LIST, POINTER(c_uint64)],
    "memslots_failure": [HANDLE, POINTER(CSlot), *_LIST],
    "memslots_recover": [HANDLE],
    "memslots_release_vcpus": [HANDLE],
    "memslots_dirty_log": [
        HANDLE,
        c_uint32,
        c_uint32,
        c_uint64,
        c_uint64,
        c_bool,
        POINTER(c_uint64),
        c_size_t,
        POINTER(c_uint64),
    ],
    "memslots_translate": [HANDLE, c_uint32, c_uint64, POINTER(CSpan)],
    "memslots_reader_open": [HANDLE, c_char_p, POINTER(HANDLE)],
    "memslots_reader_close": [HANDLE],
    "memslots_reader_enter": [HANDLE, POINTER(CView)],
    "memslots_reader_leave": [POINTER(CView)],
    "memslots_view_translate": [
        POINTER(CView),
        c_uint32,
        c_uint64,
        c_uint64,
        POINTER(CSpan),
        *_LIST,
    ],
    "memslots_vcpu_open": [HANDLE, POINTER(CVCPUOptions), POINTER(HANDLE)],
    "memslots_vcpu_close": [HANDLE],
    "memslots_accept_kicks": [c_int32],
    "memslots_vcpu_run": [HANDLE, POINTER(c_uint32)],
    "memslots_vcpu_kick": [HANDLE],
    "memslots_vcpu_drain_dirty_ring": [HANDLE],
    "memslots_guarded": [HANDLE, c_char_p, RELEASE, RELEASE, c_void_p],
    "memslots_hook_add": [HANDLE, POINTER(CHookFunctions), POINTER(HANDLE)],
    "memslots_hook_remove": [HANDLE],
    "memslots_observe": [HANDLE, OBSERVER, RELEASE, c_void_p, POINTER(c_uint64), POINTER(HANDLE)],
    "memslots_observation_end": [HANDLE],
    "memslots_simulator_touch": [HANDLE, c_uint32, c_uint64, c_uint64],
    "memslots_simulator_fail": [HANDLE, c_uint32, c_int32, c_uint32],
    "memslots_simulator_clear_faults": [HANDLE],
    "memslots_simulator_installed": [HANDLE, POINTER(CSlot), *_LIST],
}


class Library:
    """The loaded library."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._library = ctypes.CDLL(path)
            abi = getattr(self._library, f"memslots_abi_{ABI}")
        except (OSError, AttributeError) as error:
            raise LibraryNotFoundError(
                f"libmemslots can't be loaded ({error}); the wheel for this machine has it, or"
                " MEMSLOTS_LIBRARY names it",
                "library-not-found",
            ) from error
        abi.restype = c_uint32
        if abi() != ABI:
            raise LibraryNotFoundError(
                f"{path}: version {abi()} of the interface, not {ABI}", "library-not-found"
            )
        for name, arguments in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, c_int32
        for name in ("memslots_receipt_warning", "memslots_receipt_reader"):
            function = getattr(self._library, name)
            function.argtypes, function.restype = [POINTER(CReceipt), c_size_t], c_char_p
        reason = self._library.memslots_receipt_hold_reason
        reason.argtypes, reason.restype = [POINTER(CReceipt)], c_char_p
        self._library.memslots_code_name.restype = c_char_p
        self._library.memslots_error_message.restype = c_char_p
        self._library.memslots_receipt_release.argtypes = [POINTER(CReceipt)]
        self._library.memslots_receipt_release.restype = None

    def __call__(self, name: str, *arguments: Any) -> int:
        """Calls a function.

        :returns: its code, 0 or positive.
        :raises MemslotsError: the code is negative.
        """
        try:
            code: int = getattr(self._library, "memslots_" + name)(*arguments)
        except ctypes.ArgumentError as error:
            raise TypeError(f"{name}: {error}") from None
        if code < 0:
            raise self._error(code)
        return code

    def list(self, name: str, kind: Any, *arguments: Any, extra: Tuple[Any, ...] = ()) -> List[Any]:
        """Everything in a list that a function fills, also if it grows meanwhile."""
        function = getattr(self._library, "memslots_" + name)
        count = c_size_t(0)
        capacity = 0
        while True:
            items = (kind * capacity)()
            code = function(*arguments, items if capacity else None, capacity, count, *extra)
            if code == TOO_SMALL:
                capacity = count.value
                continue
            if code < 0:
                raise self._error(code)
            return [*items[: count.value]]

    def texts(self, name: str, receipt: CReceipt, count: int) -> Tuple[str, ...]:
        """The strings of a receipt."""
        function = getattr(self._library, "memslots_" + name)
        return tuple(function(receipt, index).decode() for index in range(count))

    def hold_reason(self, receipt: CReceipt) -> Optional[str]:
        """Why vCPUs were held; None if they were not."""
        reason: Optional[bytes] = self._library.memslots_receipt_hold_reason(receipt)
        return reason.decode() if reason else None

    def release(self, receipt: CReceipt) -> None:
        """Frees a receipt."""
        self._library.memslots_receipt_release(receipt)

    def _error(self, code: int) -> MemslotsError:
        library = self._library
        message: str = library.memslots_error_message().decode()
        number: int = library.memslots_error_errno()
        kind: str = library.memslots_code_name(code).decode()
        violations = (
            tuple(map(_violation, self.list("error_violations", CViolation))) if code == -1 else ()
        )
        if violations:
            kind = violations[0].kind
        kind = _KINDS.get(kind, kind)
        return error_class(code, kind)(message, kind, code, None, violations, number or None)


# What the daemon calls by another name.
_KINDS = {"no-such-slot": "unknown-slot", "not-mapped": "unmapped"}


def _violation(violation: CViolation) -> Violation:
    return Violation(
        kind=violation.kind.decode(),
        path=violation.path.decode(errors="replace"),
        slot=None if violation.slot == ANY_SLOT else violation.slot,
        address_space=violation.address_space,
        errno=violation.kernel_errno or None,
        message=violation.message.decode(errors="replace"),
        index=None if violation.index < 0 else violation.index,
        other_index=None if violation.other_index < 0 else violation.other_index,
    )


def find_library() -> str:
    """The library's path: ``$MEMSLOTS_LIBRARY``, else the wheel's, else what the loader finds."""
    named = os.environ.get("MEMSLOTS_LIBRARY")
    if named:
        return named
    packaged = Path(__file__).parent / "_lib" / NAME
    return str(packaged) if packaged.exists() else NAME


_loaded: Optional[Library] = None


def library() -> Library:
    """The library, loaded at the first call.

    :raises LibraryNotFoundError: it is not there.
    """
    global _loaded
    if _loaded is None:
        _loaded = Library(find_library())
    return _loaded
