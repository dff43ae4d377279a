"""What a VMM did to its memory slots, and what tests claim of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

from ._programs import PathLike, find_program
from .errors import ProgramFailedError, bad_argument, errno_from_name
from .slots import Flags, Slot, describe


@dataclass(frozen=True, repr=False)
class Hole:
    """Guest memory that was missing between two calls. Docs/Reports.md defines the members."""

    guest_address: int
    size: int
    """Bytes."""
    verdict: str
    """``hole``, or ``unclear``: the guest may have asked for it."""
    guest: str
    """``running`` if a vCPU was in the guest during it, ``out`` if none was, or ``unknown``."""
    backing: str
    """What came back there: ``same``, ``other`` or ``unknown`` memory."""
    certain: Optional[int]
    """Nanoseconds for which it was missing at least; None: unknown."""
    at_most: Optional[int]
    """Nanoseconds for which it was missing at most; None: unknown."""
    lines: Tuple[int, int]
    """The lines of the two calls."""
    vm: int = 0
    """The number of its VM in `Report.machines`."""
    address_space: int = 0

    def __repr__(self) -> str:
        return describe(self)

    def __str__(self) -> str:
        time = (
            "an unknown time" if self.at_most is None else f"at most {self.at_most / 1000:.1f} µs"
        )
        where = f"{self.guest_address:#x}-{self.guest_address + self.size - 1:#x}"
        return (
            f"{where} was missing for {time}, lines {self.lines[0]}-{self.lines[1]}"
            f" ({self.verdict}; back on {self.backing} memory; vCPU: {self.guest})"
        )


@dataclass(frozen=True)
class Transaction:
    """Slot calls of one thread that belong together."""

    thread: int
    what: str
    """Slots added and removed, such as ``+4 -3``."""
    calls: Tuple[Tuple[int, Optional[int], Optional[int], str], ...]
    """Each with its line, its begin and its end in nanoseconds since the first call, and its text."""
    holes: Tuple[Hole, ...]
    """Those that ended in it."""
    removed: Tuple[str, ...]
    """The names of slots."""
    added: Tuple[Slot, ...]
    plan: Tuple[str, ...]
    """The fewest calls; empty if there was one call."""
    guest: str
    vm: int = 0


@dataclass(frozen=True)
class RefusedCall:
    """A slot call that failed, explained."""

    line: int
    errno: str
    """The symbolic name."""
    call: str
    text: str
    """The rule, what it met, and what would have worked."""
    rule: Optional[str]
    """None if the log does not prove it."""
    vm: int = 0

    @property
    def errno_number(self) -> Optional[int]:
        """The number of `errno`, as in `MemslotsError.errno`."""
        return errno_from_name(self.errno)


@dataclass(frozen=True)
class Finding:
    """Something about the slots that is wrong, or will disappoint."""

    severity: str
    """``error``, ``warning`` or ``hint``."""
    kind: str
    """Such as ``user-memory``; Docs/Reports.md lists them."""
    text: str
    vm: int = 0


@dataclass(frozen=True)
class Report:
    """A report on a VMM: from a run (`run_report`), or from a log (`Report.read`).

    Its ``assert_`` methods fail a test with what is wrong.
    """

    headline: str
    unknown_because: Tuple[str, ...]
    """Why the report can't claim that no other memory was missing; empty if it can."""
    machines: Tuple[str, ...]
    """The names of the VMs."""
    missing_bytes: int
    """Each host page once."""
    removed_bytes: int
    transactions: Tuple[Transaction, ...]
    failures: Tuple[RefusedCall, ...]
    findings: Tuple[Finding, ...]
    holds: Tuple[Tuple[int, int], ...]
    """Under ``--atomic``: when vCPUs were held, in nanoseconds since the first call."""
    notes: Tuple[str, ...]
    data: Mapping[str, Any] = field(repr=False, hash=False)
    """The whole object that ``memslotctl report --json`` prints."""
    exit_status: Optional[int] = None
    """Of the VMM; None without a run."""
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    """Of the VMM and of memslotctl."""
    page: Optional[Path] = None
    """The report as one HTML page, if a run kept it."""
    record: Optional[Path] = None
    """The record, a scenario that ``memslotctl replay`` reads, if a run kept it."""

    def __str__(self) -> str:
        """The headline, and what the assertions would fail on."""
        lines = [self.headline, *(f"  {hole}" for hole in self.holes)]
        lines += [f"  unknown because {reason}" for reason in self.unknown_because]
        lines += [f"  line {failure.line}: {failure.text}" for failure in self.failures]
        lines += [f"  {finding.severity}: {finding.text}" for finding in self.findings]
        return "\n".join(lines)

    @property
    def holes(self) -> Tuple[Hole, ...]:
        """Of all transactions."""
        return tuple(hole for transaction in self.transactions for hole in transaction.holes)

    @property
    def calls(self) -> Tuple[str, ...]:
        """The slot calls that succeeded, in the order of the transactions."""
        return tuple(call[3] for transaction in self.transactions for call in transaction.calls)

    def assert_no_hole(self, *, allow_unknown: bool = False, allow_unseen: bool = False) -> None:
        """Fails unless no guest memory was missing for a time. A ``hole``, an ``unclear`` absence, and
        a log that can't exclude a further one, each fail.

        :param allow_unknown: a log that can't exclude a further hole passes.
        :param allow_unseen: an absence passes during which no vCPU was in the guest, as proved. For a run
            with ``atomic=True``, which holds vCPUs while it removes slots and creates them again.
        :raises AssertionError: with each of them.
        """
        __tracebackhide__ = True
        unseen = [hole for hole in self.holes if hole.guest == "out"]
        holes = [hole for hole in self.holes if not (allow_unseen and hole.guest == "out")]
        lines = [f"  {hole}" for hole in holes]
        if unseen and not allow_unseen:
            lines.append(
                f"  unseen, because provably no vCPU was in the guest: {len(unseen)} of these"
                f" {len(holes)}; allow_unseen=True permits them"
            )
        if not allow_unknown:
            lines += [f"  unknown because {reason}" for reason in self.unknown_because]
        if lines:
            raise AssertionError("\n".join([self.headline, *lines]))

    def assert_calls_at_most(self, count: int) -> None:
        """Fails if the VMM made more slot calls that succeeded.

        :raises AssertionError: with each call.
        """
        __tracebackhide__ = True
        if len(self.calls) > count:
            lines = [f"  {index}: {call}" for index, call in enumerate(self.calls)]
            text = f"{len(self.calls)} slot calls, at most {count} expected:"
            raise AssertionError("\n".join([text, *lines]))

    def assert_no_failed_call(self) -> None:
        """Fails if the kernel refused a slot call.

        :raises AssertionError: with the explanation of each.
        """
        __tracebackhide__ = True
        if self.failures:
            lines = [f"  line {f.line}: {f.call}: {f.text}" for f in self.failures]
            raise AssertionError("\n".join(["the kernel refused slot calls:", *lines]))

    def assert_no_finding(self, severity: str = "error") -> None:
        """Fails if there is a finding at least that severe.

        :param severity: ``error``, ``warning`` or ``hint``.
        :raises AssertionError: with each finding.
        :raises InvalidRequestError: another severity.
        """
        __tracebackhide__ = True
        severities = ["error", "warning", "hint"]
        if severity not in severities:
            raise bad_argument(f"a severity is error, warning or hint, not {severity!r}")
        counted = severities[: severities.index(severity) + 1]
        lines = [f"  {f.severity}: {f.text}" for f in self.findings if f.severity in counted]
        if lines:
            raise AssertionError("\n".join(["the report has findings:", *lines]))

    @classmethod
    def read(cls, *inputs: PathLike) -> Report:
        """The report on logs: strace, QEMU's trace, a record, and whatever else Docs/Reports.md lists.

        :raises ProgramNotFoundError: there is no memslotctl (``$MEMSLOTCTL``, else from ``PATH``).
        :raises ProgramFailedError: an input can't be read.
        """
        command = [
            find_program("memslotctl"),
            "report",
            "--json",
            *(os.fspath(path) for path in inputs),
        ]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            raise ProgramFailedError(done.stderr.decode(errors="replace").strip(), "program-failed")
        return cls.from_json(json.loads(done.stdout))

    @classmethod
    def from_json(cls, data: Mapping[str, Any], **of_a_run: Any) -> Report:
        """The report of the object that ``memslotctl report --json`` prints.

        :raises InvalidRequestError: it has another form than 1.
        """
        if data.get("report") != 1:
            raise bad_argument(f"a report of form {data.get('report')!r}, not 1")
        return cls(
            headline=data["headline"],
            unknown_because=tuple(data["unknownBecause"]),
            machines=tuple(data["machines"]),
            missing_bytes=int(data["missingBytes"], 16),
            removed_bytes=int(data["removedBytes"], 16),
            transactions=tuple(map(_transaction, data["transactions"])),
            failures=tuple(map(_failure, data["failures"])),
            findings=tuple(
                Finding(item["severity"], item["kind"], item["text"], item.get("vm", 0))
                for item in data["findings"]
            ),
            holds=tuple((begin, end) for begin, end in data["holds"]),
            notes=tuple(data["notes"]),
            data=data,
            **of_a_run,
        )


def _transaction(item: Mapping[str, Any]) -> Transaction:
    vm = item.get("vm", 0)
    return Transaction(
        thread=item["thread"],
        what=item["what"],
        calls=tuple((line, begin, end, text) for line, begin, end, text in item["calls"]),
        holes=tuple(_hole(hole, vm) for hole in item.get("holes", ())),
        removed=tuple(item["removed"]),
        added=tuple(map(_added, item["added"])),
        plan=tuple(item.get("plan", ())),
        guest=item["guest"],
        vm=vm,
    )


def _hole(item: Mapping[str, Any], vm: int) -> Hole:
    return Hole(
        guest_address=int(item["start"], 16),
        size=int(item["size"], 16),
        verdict=item["verdict"],
        guest=item["guest"],
        backing=item["backing"],
        certain=item["certain"],
        at_most=item["atMost"],
        lines=(item["lines"][0], item["lines"][1]),
        vm=vm,
        address_space=item.get("addressSpace", 0),
    )


def _added(item: Sequence[Any]) -> Slot:
    name, guest_address, size, user_address, flags = item[:5]
    # A slot of another address space is called "SPACE:ID".
    numbers = [int(number) for number in re.findall(r"\d+", str(name))]
    return Slot(
        guest_address=int(guest_address, 16),
        size=int(size, 16),
        user_address=int(user_address, 16),
        flags=Flags(flags & 7),
        id=numbers[-1],
        address_space=numbers[0] if len(numbers) > 1 else 0,
    )


def _failure(item: Mapping[str, Any]) -> RefusedCall:
    return RefusedCall(
        line=item["line"],
        errno=item["errno"],
        call=item["call"],
        text=item["text"],
        rule=item.get("rule"),
        vm=item.get("vm", 0),
    )
