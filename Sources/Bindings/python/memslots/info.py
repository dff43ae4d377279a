"""What a daemon is, what it has, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from .slots import Flags, to_int


@dataclass(frozen=True)
class Capabilities:
    """The limits that a VM's arrays are checked against."""

    max_slots: int
    """Slots of an address space; ids are below it."""
    address_spaces: int
    max_pages_per_slot: int
    """Pages of `page_size` bytes."""
    flags: Flags
    """Flags that slots may have."""
    guest_physical_bits: int
    """Guest addresses are below 2 to this power."""
    userspace_end: Optional[int] = None
    """User addresses are below this one; None for a `Table`, which does not return it."""
    page_size: int = 4096
    """Bytes of a page, in which dirty logs count."""
    slot_granule: int = 4096
    """What the addresses and the size of a slot must be multiples of."""
    shared_guest_memfd: bool = False
    """Whether ``create_memory`` can make guest_memfds with ``shared``."""
    memory_attributes: bool = False
    """Whether guest ranges can be private."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Capabilities:
        """The capabilities of a reply."""
        return cls(
            max_slots=wire["maxSlots"],
            address_spaces=wire["addressSpaces"],
            max_pages_per_slot=wire["maxPagesPerSlot"],
            flags=Flags.from_names(wire["flags"]),
            guest_physical_bits=wire["guestPhysicalBits"],
            userspace_end=to_int(wire["userspaceEnd"]),
            page_size=to_int(wire.get("pageSize", 4096)),
            slot_granule=to_int(wire.get("slotGranule", 4096)),
            shared_guest_memfd=wire.get("sharedGuestMemfd", False),
            memory_attributes=wire.get("memoryAttributes", False),
        )


@dataclass(frozen=True)
class SimulatorLimits:
    """The limits of a simulated VM of a daemon; None: as the daemon's default VM."""

    max_slots: Optional[int] = None
    """1 to 1,048,576."""
    address_spaces: Optional[int] = None
    """1 to 65,536."""
    guest_physical_bits: Optional[int] = None
    """13 to 64."""
    userspace_end: Optional[int] = None
    flags: Optional[Flags] = None
    profile: Optional[str] = None
    """The kind of host, such as ``arm64-64k``; what is given beside it replaces what it has."""
    page_size: Optional[int] = None
    """Bytes of a page, without a profile: 4,096 to 1,048,576."""
    kernel: Optional[str] = None
    """The version of Linux, such as ``6.18``."""

    def to_wire(self) -> Dict[str, Any]:
        """The limits as the protocol writes them."""
        wire = {
            "maxSlots": self.max_slots,
            "addressSpaces": self.address_spaces,
            "guestPhysicalBits": self.guest_physical_bits,
            "userspaceEnd": self.userspace_end,
            "flags": None if self.flags is None else self.flags.names,
            "profile": self.profile,
            "pageSize": self.page_size,
            "kernel": self.kernel,
        }
        return {name: value for name, value in wire.items() if value is not None}


@dataclass(frozen=True)
class Backend:
    """A backend of a daemon."""

    available: bool
    reason: Optional[str]
    """Why it is not available."""
    capabilities: Optional[Capabilities]
    """Those of a VM created with the defaults."""


@dataclass(frozen=True)
class StateInfo:
    """What a daemon with a state directory reports on it."""

    memory: str
    """``files`` or ``descriptors``."""
    unrestored: Tuple[Mapping[str, str], ...] = field(hash=False)
    """VMs that could not be restored, each with ``vm``, ``file``, ``reason``."""
    damaged: Tuple[Mapping[str, str], ...] = field(hash=False)
    """Damaged records that were set aside, each with ``file``, ``reason``."""
    ahead: Tuple[Mapping[str, str], ...] = field(hash=False)
    """VMs whose record has a refused request, each with ``vm``, ``file``."""
    directory: Optional[str] = None
    """The path; None from a daemon of version 0.2.0."""


@dataclass(frozen=True)
class ServerInfo:
    """What a daemon is, and what it accepts."""

    name: str
    version: str
    protocol: int
    """The version of the protocol, 1."""
    pid: int
    backends: Mapping[str, Backend] = field(hash=False)
    """``simulated`` and ``kvm``."""
    limits: Mapping[str, int] = field(hash=False)
    """By the names of Docs/Protocol.md, such as ``vmsPerPeer``."""
    state: Optional[StateInfo]
    """None without ``--state-dir``."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> ServerInfo:
        """The reply to ``server.info``."""
        backends = {
            name: Backend(
                available=backend["available"],
                reason=backend.get("reason"),
                capabilities=Capabilities.from_wire(backend["capabilities"])
                if "capabilities" in backend
                else None,
            )
            for name, backend in wire["backends"].items()
        }
        state = wire.get("state")
        return cls(
            name=wire["name"],
            version=wire["version"],
            protocol=wire["protocol"],
            pid=wire["pid"],
            backends=backends,
            limits=wire["limits"],
            state=state
            and StateInfo(
                memory=state["memory"],
                unrestored=tuple(state["unrestored"]),
                damaged=tuple(state["damaged"]),
                ahead=tuple(state["ahead"]),
                directory=state.get("directory"),
            ),
        )


@dataclass(frozen=True)
class VMInfo:
    """A line of the list of VMs."""

    name: str
    backend: str
    """``simulated`` or ``kvm``."""
    generation: int
    slots: int
    """Their number."""
    state: str
    """``ready`` or ``failed``."""
    observed: bool
    """Whether another process changes it, under ``memslotctl run --socket``."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> VMInfo:
        """An element of the reply to ``vm.list``."""
        return cls(
            name=wire["vm"],
            backend=wire["backend"],
            generation=wire["generation"],
            slots=wire["slots"],
            state=wire["state"],
            observed=wire.get("observed", False),
        )


@dataclass(frozen=True)
class Memory:
    """A memory object of a VM."""

    name: str
    size: int
    """Bytes."""
    page_size: int
    """Bytes: 4096, or the size of its huge pages."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Memory:
        """The memory of a reply."""
        return cls(wire["memory"], to_int(wire["size"]), to_int(wire["pageSize"]))


@dataclass(frozen=True)
class Histogram:
    """Durations in nanoseconds. The last six are None before the first."""

    count: int
    sum: int
    min: Optional[int] = None
    max: Optional[int] = None
    p50: Optional[int] = None
    p90: Optional[int] = None
    p99: Optional[int] = None
    p999: Optional[int] = None


@dataclass(frozen=True)
class VMMetrics:
    """The counters and histograms of one VM."""

    vm: str
    counters: Mapping[str, int] = field(hash=False)
    """Such as ``commits``, ``rollbacks``, ``operations``, ``quiesced``."""
    histograms: Mapping[str, Histogram] = field(hash=False)
    """``blackout``, ``total``, ``quiesce``, ``apply``; nanoseconds."""


@dataclass(frozen=True)
class Metrics:
    """The user's counters since the daemon started."""

    counters: Mapping[str, int] = field(hash=False)
    """As of a VM, and ``requests``, ``errors``, ``events``."""
    histograms: Mapping[str, Histogram] = field(hash=False)
    gauges: Mapping[str, int] = field(hash=False)
    """What the user has now, by the names of the limits."""
    vms: Tuple[VMMetrics, ...]
    open_metrics: str
    """All of it as OpenMetrics text."""
    users: Mapping[int, Mapping[str, int]] = field(default_factory=dict, hash=False)
    """What each user has, for root and the daemon's own user; else empty."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Metrics:
        """The reply to ``metrics.get``."""

        def histograms(wire: Mapping[str, Any]) -> Mapping[str, Histogram]:
            return {name: Histogram(**values) for name, values in wire["histograms"].items()}

        return cls(
            counters=wire["counters"],
            histograms=histograms(wire),
            gauges={name: to_int(value) for name, value in wire["gauges"].items()},
            vms=tuple(VMMetrics(vm["vm"], vm["counters"], histograms(vm)) for vm in wire["vms"]),
            open_metrics=wire["openMetrics"],
            users={one["user"]: one["gauges"] for one in wire.get("users", ())},
        )
