"""A VMM under memslotctl run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from ._programs import PathLike, find_program
from .errors import ProgramFailedError, bad_argument
from .report import Report


def run_report(
    *argv: PathLike,
    atomic: bool = False,
    options: Iterable[str] = (),
    timeout: Optional[float] = 300,
    env: Optional[Dict[str, str]] = None,
    cwd: Optional[PathLike] = None,
    directory: Optional[PathLike] = None,
) -> Report:
    """Runs a VMM under ``memslotctl run``, and returns the report on its slot calls. The VMM's exit
    status is in the report, not checked.

    :param argv: the VMM and its arguments.
    :param atomic: commit its calls as transactions (``--atomic``); the report is then about what the
        kernel saw.
    :param options: further ones of ``memslotctl run``, such as ``["--gap-ms", "50"]``.
    :param timeout: seconds; None: for ever.
    :param env: the whole environment; None: ours.
    :param directory: keep the report's page and the record here; None: neither is kept.
    :raises ProgramNotFoundError: there is no memslotctl (``$MEMSLOTCTL``, else from ``PATH``).
    :raises ProgramFailedError: the VMM could not be preloaded, or made no VM to report on.
    :raises subprocess.TimeoutExpired: it did not end in time; it was killed.
    """
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="memslots-") as temporary:
            return _run(argv, atomic, options, timeout, env, cwd, Path(temporary), keep=False)
    return _run(argv, atomic, options, timeout, env, cwd, Path(directory), keep=True)


def _run(
    argv: Sequence[PathLike],
    atomic: bool,
    options: Iterable[str],
    timeout: Optional[float],
    env: Optional[Dict[str, str]],
    cwd: Optional[PathLike],
    directory: Path,
    keep: bool,
) -> Report:
    if not argv:
        raise bad_argument("name the VMM to run")
    page, record = directory / "report.html", directory / "record.jsonl"
    command: List[Union[str, os.PathLike[str]]] = [find_program("memslotctl"), "run"]
    command += ["--atomic"] if atomic else []
    command += ["--html", page, "--record", record, *options, "--", *argv]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            # memslotctl forwards SIGTERM to the VMM; after SIGKILL the VMM would go on.
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    status = process.returncode
    errors = stderr.decode(errors="replace")
    data = _data(page)
    if data is None:
        text = f"memslotctl run left no report, exit status {status}: {errors.strip()}"
        raise ProgramFailedError(text, "program-failed")
    return Report.from_json(
        data,
        exit_status=status,
        stdout=stdout.decode(errors="replace"),
        stderr=errors,
        page=page if keep else None,
        record=record if keep and record.exists() else None,
    )


def _data(page: Path) -> Optional[Mapping[str, Any]]:
    """The object in a report's page."""
    if not page.exists():
        return None
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    if found is None:
        return None
    data: Mapping[str, Any] = json.loads(found.group(1))
    return data
