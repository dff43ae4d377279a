"""One connection of the synchronous client, for any number of threads."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from ._calls import close_all
from ._session import Session, Waiter
from ._socket import check_descriptors, receive, refusal
from .errors import ConnectionLostError, MemslotsError, RequestTimeoutError

DEFAULT_TIMEOUT = 30.0
"""Seconds that a client waits for a reply."""


class Connection:
    """Sends requests and waits for their replies.

    No thread of its own: of the threads that wait, one reads for all.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._session = Session()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._is_read = False

    def request(
        self,
        calls: Sequence[Tuple[str, Dict[str, Any]]],
        fds: Sequence[int],
        timeout: Optional[float],
        batch: bool = False,
    ) -> Waiter:
        """Sends a request, or a batch, and returns when its reply is there.

        :raises RequestTimeoutError: it was not there in time.
        :raises InvalidRequestError: a descriptor is not open; nothing was sent.
        """
        check_descriptors(fds)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            line, waiter = self._session.request(calls, batch)
        try:
            self._send(line, fds, deadline)
            self._wait(lambda: waiter.done, deadline, calls[0][0])
        except BaseException:
            with self._changed:
                self._session.abandon(waiter)
                # The reply may have come just now.
                close_all(waiter.descriptors)
            raise
        return waiter

    def notify(self, method: str, params: Dict[str, Any], timeout: Optional[float]) -> None:
        """Sends a request that gets no reply."""
        deadline = None if timeout is None else time.monotonic() + timeout
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self._send(self._session.line(message), (), deadline)

    def event(self, timeout: Optional[float]) -> Tuple[str, Dict[str, Any]]:
        """The next event.

        :raises RequestTimeoutError: none came in time.
        :raises ConnectionLostError: the connection ended, and all events have been returned.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._wait(lambda: bool(self._session.events), deadline, "an event")
            with self._changed:
                if self._session.events:
                    return self._session.events.popleft()

    @property
    def has_events(self) -> bool:
        """Whether an event has arrived that nobody has read."""
        return bool(self._session.events)

    def discard_events(self) -> None:
        """Forgets the events that nobody has read."""
        with self._changed:
            self._session.events.clear()

    def close(self) -> None:
        """Ends the connection. Threads that wait get a `ConnectionLostError`."""
        with self._changed:
            self._session.lose("the client is closed", "closed")
            self._changed.notify_all()
            reading = self._is_read
        try:
            # Wakes a thread that reads; the descriptor stays its own until it has left.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if not reading:
            self._socket.close()

    def _send(self, line: bytes, fds: Sequence[int], deadline: Optional[float]) -> None:
        with self._sending:
            rest = memoryview(line)
            try:
                while rest:
                    self._poll(select.POLLOUT, deadline, "room to send")
                    try:
                        if fds:
                            sent = socket.send_fds(
                                self._socket, [rest], list(fds), socket.MSG_NOSIGNAL
                            )
                            fds = ()
                        else:
                            sent = self._socket.send(rest, socket.MSG_NOSIGNAL)
                    except BlockingIOError:
                        continue
                    rest = rest[sent:]
            except RequestTimeoutError:
                if len(rest) < len(line):
                    # The rest of the line can't follow later: the connection is of no use.
                    self._lose("a request could not be sent in time")
                raise
            except OSError as error:
                # Only descriptors that were not sent yet are at fault; nothing of the line was.
                refused = refusal(error, fds) if self._socket.fileno() >= 0 else None
                if refused is not None:
                    raise refused from error
                self._lose(f"the connection broke: {error.strerror or error}")
                raise self._lost() from error

    def _wait(self, is_done: Callable[[], bool], deadline: Optional[float], what: str) -> None:
        """Waits for a condition that only reading can make true."""
        with self._changed:
            while not is_done():
                self._session.check()
                if self._is_read:
                    remaining = None if deadline is None else deadline - time.monotonic()
                    if remaining is not None and remaining <= 0:
                        raise _timed_out(what)
                    self._changed.wait(_at_most_an_hour(remaining))
                    continue
                self._is_read = True
                self._changed.release()
                try:
                    self._receive(deadline, what)
                finally:
                    self._changed.acquire()
                    self._is_read = False
                    if self._session.lost is not None:
                        self._socket.close()
                    self._changed.notify_all()

    def _receive(self, deadline: Optional[float], what: str) -> None:
        self._poll(select.POLLIN, deadline, what)
        try:
            data, fds = receive(self._socket)
        except BlockingIOError:
            return
        except OSError as error:
            return self._lose(f"the connection broke: {error.strerror or error}")
        if not data:
            close_all(fds)
            return self._lose("the server closed the connection")
        with self._changed:
            try:
                self._session.receive(data, fds)
            except MemslotsError as error:
                self._session.lose(str(error))
            self._changed.notify_all()

    def _poll(self, event: int, deadline: Optional[float], what: str) -> None:
        poll = select.poll()
        try:
            poll.register(self._socket, event)
        except ValueError:  # closed
            raise self._lost() from None
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            step = _at_most_an_hour(remaining)
            if poll.poll(None if step is None else step * 1000):
                return
            if remaining == 0:
                raise _timed_out(what)

    def _lose(self, reason: str) -> None:
        with self._changed:
            self._session.lose(reason)
            self._changed.notify_all()

    def _lost(self) -> ConnectionLostError:
        try:
            self._session.check()
        except ConnectionLostError as error:
            return error
        raise AssertionError("the connection is not lost")


def _at_most_an_hour(seconds: Optional[float]) -> Optional[float]:
    """A step of a wait: the system refuses those of years."""
    return None if seconds is None else min(seconds, 3600.0)


def _timed_out(what: str) -> RequestTimeoutError:
    return RequestTimeoutError(f"timed out waiting for {what}", "timeout")
