"""Guest memory of KVM virtual machines, changed as transactions.

- `connect` and `Client`: a daemon's client; `memslots.aio` has the same for asyncio.
- `Table`: the memory of a VM of this process, simulated or on KVM, by libmemslots.
- `Report`, `run_report`, `Daemon`: what tests need; the pytest plugin makes fixtures of them.

Addresses and sizes are bytes. What is refused is a `MemslotsError`; a value of a wrong type is a
``TypeError``.
"""

from . import aio, events, kvm
from ._socket import default_socket_path
from .client import Client, connect
from .daemon import Daemon
from .errors import (
    AlreadyExistsError,
    ClientClosedError,
    ClosedError,
    ConnectError,
    ConnectionLostError,
    GenerationConflictError,
    InvalidArrayError,
    InvalidRequestError,
    LibraryNotFoundError,
    LimitExceededError,
    MemoryInUseError,
    MemslotsError,
    NotFoundError,
    NotPermittedError,
    PrepareRejectedError,
    ProgramFailedError,
    ProgramNotFoundError,
    QuiesceTimeoutError,
    ReentrantError,
    RequestTimeoutError,
    RolledBackError,
    ShuttingDownError,
    SystemCallError,
    UnavailableError,
    UntrustedServerError,
    Violation,
    VMFailedError,
    WrongSlotError,
)
from .info import (
    Backend,
    Capabilities,
    Histogram,
    Memory,
    Metrics,
    ServerInfo,
    SimulatorLimits,
    StateInfo,
    VMInfo,
    VMMetrics,
)
from .memory import DirtyLog, Place
from .observers import ChangeKind, HookFunctions, SlotChange, TableEvent, TableEventKind
from .reading import Reader, View
from .receipts import AttributeChange, Diff, DirtyRange, Durations, Observer, Operation, Receipt
from .report import Finding, Hole, RefusedCall, Report, Transaction
from .run import run_report
from .slots import PAGE_SIZE, Flags, Slot, SlotKey, Snapshot
from .stream import EventStream
from .table import DirtyLogMode, Table
from .vcpu import VCPU, Exit, Kick, accept_kicks
from .vm import VM

__all__ = [
    "__version__",
    "accept_kicks",
    "aio",
    "AlreadyExistsError",
    "AttributeChange",
    "Backend",
    "Capabilities",
    "ChangeKind",
    "Client",
    "ClientClosedError",
    "ClosedError",
    "connect",
    "ConnectError",
    "ConnectionLostError",
    "Daemon",
    "default_socket_path",
    "Diff",
    "DirtyLog",
    "DirtyLogMode",
    "DirtyRange",
    "Durations",
    "events",
    "EventStream",
    "Exit",
    "Finding",
    "Flags",
    "GenerationConflictError",
    "Histogram",
    "Hole",
    "HookFunctions",
    "InvalidArrayError",
    "InvalidRequestError",
    "Kick",
    "kvm",
    "LibraryNotFoundError",
    "LimitExceededError",
    "Memory",
    "MemoryInUseError",
    "MemslotsError",
    "Metrics",
    "NotFoundError",
    "NotPermittedError",
    "Observer",
    "Operation",
    "PAGE_SIZE",
    "Place",
    "PrepareRejectedError",
    "ProgramFailedError",
    "ProgramNotFoundError",
    "QuiesceTimeoutError",
    "Reader",
    "Receipt",
    "ReentrantError",
    "RefusedCall",
    "Report",
    "RequestTimeoutError",
    "RolledBackError",
    "run_report",
    "ServerInfo",
    "ShuttingDownError",
    "SimulatorLimits",
    "Slot",
    "SlotChange",
    "SlotKey",
    "Snapshot",
    "StateInfo",
    "SystemCallError",
    "Table",
    "TableEvent",
    "TableEventKind",
    "Transaction",
    "UnavailableError",
    "UntrustedServerError",
    "VCPU",
    "View",
    "Violation",
    "VM",
    "VMFailedError",
    "VMInfo",
    "VMMetrics",
    "WrongSlotError",
]

__version__ = "0.2.0"
