"""memslotd as a child process, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from typing import IO, List, Optional

from ._connection import DEFAULT_TIMEOUT
from ._programs import find_program
from .client import Client, connect
from .errors import ConnectError, ProgramFailedError


class Daemon:
    """memslotd with a socket in a temporary directory. A context manager: it starts in the block and
    ends with it::

        with Daemon("--max-vms", "4") as daemon:
            assert daemon.client.info().limits["vmsPerPeer"] == 4

    :param options: of memslotd, besides ``--socket``.
    :param program: its path; None: ``$MEMSLOTD``, else from ``PATH``.
    :raises ProgramNotFoundError: there is no memslotd.
    """

    def __init__(self, *options: str, program: Optional[str] = None) -> None:
        self.options = options
        self.program = program or find_program("memslotd")
        # Not pytest's: a socket's path has at most 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="memslots-")
        """Removed by `close`."""
        self.socket = os.path.join(self.directory, "socket")
        """The path of its socket."""
        self.process: Optional[subprocess.Popen[bytes]] = None
        """The process, while it runs."""
        self._client: Optional[Client] = None
        self._log_path = os.path.join(self.directory, "log")

    def start(self, timeout: float = 10) -> None:
        """Starts it, and waits until it accepts connections.

        :param timeout: seconds.
        :raises ProgramFailedError: it ended, or did not accept in time.
        """
        arguments: List[str] = [self.program, "--socket", self.socket, *self.options]
        log: IO[bytes]
        with open(self._log_path, "ab") as log:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + timeout
        while True:
            try:
                connect(self.socket, wait=0.1).close()
                return
            except ConnectError as error:
                if self.process.poll() is None and time.monotonic() < deadline:
                    continue
                self.kill()
                raise ProgramFailedError(
                    f"{self.program} does not listen: {error}\n{self.log}", "program-failed"
                ) from error

    @property
    def client(self) -> Client:
        """A client, connected at its first use. After `kill` and `start` it needs
        ``client.reconnect()``."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self, *, timeout: Optional[float] = DEFAULT_TIMEOUT) -> Client:
        """Another client, which the caller closes.

        :param timeout: seconds to wait for each reply.
        """
        return connect(self.socket, timeout=timeout)

    @property
    def log(self) -> str:
        """What it has logged."""
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self) -> None:
        """Ends it with SIGKILL. `start` starts it again, with the same options."""
        self._end(signal.SIGKILL)

    def stop(self, timeout: float = 15) -> int:
        """Ends it with SIGTERM, and returns its exit status.

        :param timeout: seconds.
        :raises ProgramFailedError: it does not end in time; it was killed.
        """
        return self._end(signal.SIGTERM, timeout)

    def _end(self, number: signal.Signals, timeout: float = 15) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ProgramFailedError(f"{self.program} did not end", "program-failed") from None

    def __enter__(self) -> Daemon:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and removes its directory."""
        if self._client is not None:
            self._client.close()
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
