"""memslotd as a child process, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from typing import IO, List, Optional

from ._connection import DEFAULT_TIMEOUT
from ._handle import Uncopied
from ._programs import find_program
from .client import Client, connect
from .errors import AlreadyExistsError, ClosedError, ConnectError, ProgramFailedError

# It waits until the other end of its standard input is closed, which the end of our process does,
# however it ends. The process must still be the one with our directory in its arguments.
_WATCH = 'read -r _; grep -qsF -- "$2" "/proc/$1/cmdline" && kill -KILL "$1"; rm -rf -- "$2"'


class _Running:
    """What has to end with a `Daemon`: the process, its watcher, its directory."""

    def __init__(self) -> None:
        # Not pytest's: a socket's path has at most 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="memslots-")
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.client: Optional[Client] = None
        self._watcher: Optional[subprocess.Popen[bytes]] = None
        self._owner = os.getpid()

    def start(self, arguments: List[str], log: IO[bytes]) -> None:
        """Starts memslotd, and what ends it if we are killed."""
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        watch = ["/bin/sh", "-c", _WATCH, "memslots-watch", str(self.process.pid), self.directory]
        try:
            self._watcher = subprocess.Popen(
                watch,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us.
            )
        except FileNotFoundError:
            pass  # Without a shell memslotd outlives a SIGKILL of ours; nothing else needs it.

    def end(self, number: signal.Signals, timeout: float) -> int:
        """Ends memslotd with a signal, and returns its exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        try:
            process.send_signal(number)
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            text = f"memslotd, process {process.pid}, did not end within {timeout} s"
            raise ProgramFailedError(text, "program-failed") from None
        finally:
            watcher, self._watcher = self._watcher, None
            if watcher is not None:
                watcher.kill()
                watcher.communicate()

    @property
    def is_ours(self) -> bool:
        """Whether this process made it. A child by fork must leave all of it to its parent."""
        return os.getpid() == self._owner

    def close(self) -> None:
        """Ends all of it."""
        if not self.is_ours:
            return
        if self.client is not None:
            self.client.close()
        try:
            self.end(signal.SIGTERM, 15)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class Daemon(Uncopied):
    """memslotd with a socket in a temporary directory. A context manager: it starts in the block and
    ends with it, also where nobody closes it: with the object, with the interpreter, and by a watching
    shell if this process is killed::

        with Daemon("--max-vms", "4") as daemon:
            assert daemon.client.info().limits["vmsPerPeer"] == 4

    :param options: of memslotd, besides ``--socket``.
    :param program: its path, or a name in ``PATH``; None: ``$MEMSLOTD``, else from ``PATH``.
    :raises ProgramNotFoundError: there is no memslotd.
    """

    def __init__(self, *options: str, program: Optional[str] = None) -> None:
        self.options = options
        self.program = find_program("memslotd", program)
        self._running = _Running()
        self._finalizer = weakref.finalize(self, self._running.close)
        self.directory = self._running.directory
        """Removed by `close`."""
        self.socket = os.path.join(self.directory, "socket")
        """The path of its socket."""
        self._log_path = os.path.join(self.directory, "log")
        self._kept_log = ""

    def __repr__(self) -> str:
        process = self.process
        state = "stopped" if process is None else f"process {process.pid}"
        return f"<Daemon {state if self._finalizer.alive else 'closed'}, {self.socket}>"

    @property
    def process(self) -> Optional[subprocess.Popen[bytes]]:
        """The process, from `start` to `kill` or `stop`."""
        return self._running.process

    def start(self, timeout: float = 10) -> None:
        """Starts it, and waits until it accepts connections.

        :param timeout: seconds.
        :raises ProgramFailedError: it ended, or did not accept in time.
        :raises AlreadyExistsError: it runs.
        :raises ClosedError: it was closed.
        """
        if not self._finalizer.alive:
            raise ClosedError("the Daemon was closed, and its directory removed; make one", "closed")
        if self.process is not None and self.process.poll() is None:
            text = f"memslotd runs already, as process {self.process.pid}; kill() or stop() it first"
            raise AlreadyExistsError(text, "already-running")
        self.kill()  # where it ended by itself
        arguments: List[str] = [self.program, "--socket", self.socket, *self.options]
        log: IO[bytes]
        with open(self._log_path, "ab") as log:
            self._running.start(arguments, log)
        process = self._running.process
        assert process is not None
        deadline = time.monotonic() + timeout
        while True:
            try:
                connect(self.socket, wait=0.1).close()
                return
            except ConnectError as error:
                if process.poll() is None and time.monotonic() < deadline:
                    continue
                self.kill()
                raise ProgramFailedError(
                    f"{self.program} does not listen: {error}\n{self.log}", "program-failed"
                ) from error

    @property
    def client(self) -> Client:
        """A client, connected at its first use. After `kill` and `start` it needs
        ``client.reconnect()``."""
        if self._running.client is None:
            self._running.client = self.connect()
        return self._running.client

    def connect(self, *, timeout: Optional[float] = DEFAULT_TIMEOUT) -> Client:
        """Another client, which the caller closes.

        :param timeout: seconds to wait for each reply.
        """
        return connect(self.socket, timeout=timeout)

    @property
    def log(self) -> str:
        """What it has logged, also after `close`."""
        try:
            with open(self._log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:  # not started yet, or closed
            return self._kept_log

    def kill(self) -> None:
        """Ends it with SIGKILL. `start` starts it again, with the same options."""
        self._running.end(signal.SIGKILL, 15)

    def stop(self, timeout: float = 15) -> int:
        """Ends it with SIGTERM, and returns its exit status.

        :param timeout: seconds.
        :raises ProgramFailedError: it does not end in time; it was killed.
        """
        return self._running.end(signal.SIGTERM, timeout)

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
        """Ends it, and removes its directory. No effect on a closed one, nor in a child by fork."""
        if not self._running.is_ours:
            return
        if self._running.client is not None:
            self._running.client.close()
        try:
            self.stop()
        finally:
            self._kept_log = self.log
            self._finalizer()
