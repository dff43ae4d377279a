"""The pytest plugin: fixtures for memory slots. pytest loads it where the package is installed.

A fixture whose program, library or /dev/kvm is missing skips the test, by its name. With
``MEMSLOTS_REQUIRE=1`` it fails instead, so that a CI can't lose its tests unnoticed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Dict, Iterable, Iterator, NoReturn, Optional, Protocol

import pytest

from . import kvm
from ._programs import PathLike
from .daemon import Daemon
from .errors import LibraryNotFoundError, ProgramFailedError, ProgramNotFoundError
from .report import Report
from .run import run_report
from .table import Table


def _skip(what: str, error: Exception) -> NoReturn:
    if os.environ.get("MEMSLOTS_REQUIRE", "") not in ("", "0"):
        pytest.fail(f"{what} is missing: {error}", pytrace=False)
    pytest.skip(f"no {what}: {error}")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker of `memslot_daemon`."""
    config.addinivalue_line(
        "markers", "memslotd(*options): options of memslotd for the fixture memslot_daemon"
    )


@pytest.fixture
def memslot_vm() -> Iterator[Table]:
    """A `memslots.Table` on a simulated VM without slots. Needs no program and no /dev/kvm."""
    try:
        table = Table.simulator()
    except LibraryNotFoundError as error:
        _skip("libmemslots", error)
    with table:
        yield table


@pytest.fixture
def memslot_kvm_vm() -> Iterator[Table]:
    """A `memslots.Table` on a VM of /dev/kvm without slots and without vCPUs. `memslots.kvm.HostMemory`
    is memory for its slots."""
    with contextlib.ExitStack() as stack:
        try:
            vm = stack.enter_context(kvm.create_vm())
        except OSError as error:
            _skip(kvm.DEVICE, error)
        try:
            table = Table.kvm(vm)
        except LibraryNotFoundError as error:
            _skip("libmemslots", error)
        yield stack.enter_context(table)


@pytest.fixture
def memslot_daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A running `memslots.Daemon` of this test alone: ``memslot_daemon.client``.

    memslotd is ``$MEMSLOTD``, else from ``PATH``. ``@pytest.mark.memslotd("--max-vms", "4")`` gives it
    options; ``{tmp_path}`` in one is a directory of the test. If the test fails, its log is shown.
    """
    options = [option for mark in request.node.iter_markers("memslotd") for option in mark.args]
    if any("{tmp_path}" in option for option in options):
        directory: Path = request.getfixturevalue("tmp_path")
        options = [option.replace("{tmp_path}", str(directory)) for option in options]
    try:
        daemon = Daemon(*options)
    except ProgramNotFoundError as error:
        _skip("memslotd", error)
    with daemon:
        yield daemon
        # It writes the last lines of its log when it ends.
        daemon.stop()
        request.node.add_report_section("teardown", "memslotd's log", daemon.log)


class MemslotRun(Protocol):
    """The type of the fixture `memslot_run`: see `memslots.run_report`."""

    def __call__(
        self,
        *argv: PathLike,
        atomic: bool = False,
        options: Iterable[str] = (),
        timeout: Optional[float] = 300,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[PathLike] = None,
        directory: Optional[PathLike] = None,
    ) -> Report:
        """Runs a VMM, and returns the report on it."""


@pytest.fixture
def memslot_run(tmp_path: Path) -> MemslotRun:
    """``memslot_run(*argv, atomic=False, …)`` runs a VMM under ``memslotctl run`` and returns the
    `memslots.Report`. The page and the record stay in the test's ``tmp_path``.

    memslotctl is ``$MEMSLOTCTL``, else from ``PATH``. A run that fails where /dev/kvm does not open is
    skipped too.
    """
    runs = 0

    def run(
        *argv: PathLike,
        atomic: bool = False,
        options: Iterable[str] = (),
        timeout: Optional[float] = 300,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[PathLike] = None,
        directory: Optional[PathLike] = None,
    ) -> Report:
        nonlocal runs
        runs += 1
        if directory is None:
            directory = tmp_path / f"memslot_run{runs}"
            os.mkdir(directory)
        try:
            return run_report(
                *argv,
                atomic=atomic,
                options=options,
                timeout=timeout,
                env=env,
                cwd=cwd,
                directory=directory,
            )
        except ProgramNotFoundError as error:
            _skip("memslotctl", error)
        except ProgramFailedError as error:
            if kvm.opens():
                raise
            _skip(kvm.DEVICE, error)

    return run
