"""One connection of the client for asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from .._calls import close_all
from .._session import Session, Waiter
from .._socket import check_descriptors, receive, refusal
from ..errors import ClosedError, MemslotsError, RequestTimeoutError

QUEUED_EVENTS = 1024
"""While so many events wait and no reply is missing, nothing is read: the server then drops the
oldest, and sends their number."""


class AsyncConnection:
    """One connection, on the event loop that runs when it is made."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._session = Session()
        self._sending = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._sends: Set[asyncio.Task[None]] = set()
        self._is_reading = False
        self._resume()

    async def request(
        self,
        calls: Sequence[Tuple[str, Dict[str, Any]]],
        fds: Sequence[int],
        timeout: Optional[float],
        batch: bool = False,
    ) -> Waiter:
        """Sends a request, or a batch, and returns when its reply is there."""
        check_descriptors(fds)
        done = asyncio.Event()
        line, waiter = self._session.request(calls, batch, done.set)
        self._resume()
        try:
            await asyncio.wait_for(self._exchange(line, fds, done), timeout)
        except asyncio.TimeoutError:
            self._forget(waiter)
            raise RequestTimeoutError(f"timed out waiting for {calls[0][0]}", "timeout") from None
        except BaseException:
            self._forget(waiter)
            raise
        return waiter

    def _forget(self, waiter: Waiter) -> None:
        self._session.abandon(waiter)
        close_all(waiter.descriptors)
        waiter.descriptors = []

    async def _exchange(self, line: bytes, fds: Sequence[int], done: asyncio.Event) -> None:
        # The caller may be cancelled; half a line would end the connection.
        sending = self._loop.create_task(self.send(line, fds))
        self._sends.add(sending)
        sending.add_done_callback(self._sends.discard)
        await asyncio.shield(sending)
        await done.wait()

    async def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """Sends a whole line."""
        copies: List[int] = []
        sent = 0
        try:
            for fd in fds:  # The caller may close its own while the line waits.
                copies.append(os.dup(fd))
            async with self._sending:
                self._session.check()
                while copies and not sent:
                    try:
                        sent = socket.send_fds(self._socket, [line], copies, socket.MSG_NOSIGNAL)
                    except BlockingIOError:
                        await asyncio.sleep(0.001)
                await self._loop.sock_sendall(self._socket, line[sent:])
        except OSError as error:
            if isinstance(error, MemslotsError):
                raise
            refused = None if sent or self._socket.fileno() < 0 else refusal(error, fds)
            if refused is not None:
                raise refused from error
            self._lose(f"the connection broke: {error.strerror or error}")
            self._session.check()
        finally:
            close_all(copies)

    async def event(self, timeout: Optional[float]) -> Tuple[str, Dict[str, Any]]:
        """The next event."""
        deadline = None if timeout is None else self._loop.time() + timeout
        if timeout == 0 and not self._session.events:
            await asyncio.sleep(0)  # The loop reads what is there.
        while not self._session.events:
            self._session.check()
            self._arrived.clear()
            remaining = None if deadline is None else max(0, deadline - self._loop.time())
            try:
                await asyncio.wait_for(self._arrived.wait(), remaining)
            except asyncio.TimeoutError:
                raise RequestTimeoutError("timed out waiting for an event", "timeout") from None
        event = self._session.events.popleft()
        self._resume()
        return event

    @property
    def has_events(self) -> bool:
        """Whether an event has arrived that nobody has read."""
        return bool(self._session.events)

    def check_loop(self) -> None:
        """Refuses another event loop than the one that connected.

        :raises ClosedError: that one runs now.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise ClosedError(
                "the client was connected in another event loop; reconnect(), or connect one in this"
                " loop",
                "another-loop",
            )

    def discard_events(self) -> None:
        """Forgets the events that nobody has read."""
        self._session.events.clear()
        self._resume()

    def close(self) -> None:
        """Ends the connection."""
        self._lose("the client is closed", "closed")

    def abandon(self) -> None:
        """Ends the connection for a garbage collector, which any thread may run."""
        if self._loop.is_closed():
            self._socket.close()
        else:
            self._loop.call_soon_threadsafe(self.close)

    def _resume(self) -> None:
        if not self._is_reading and self._session.lost is None:
            self._is_reading = True
            self._loop.add_reader(self._socket, self._receive)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            if self._loop.is_closed():
                return  # and its selector with it
            self._loop.remove_reader(self._socket)

    def _receive(self) -> None:
        try:
            data, fds = receive(self._socket)
        except BlockingIOError:
            return
        except OSError as error:
            return self._lose(f"the connection broke: {error.strerror or error}")
        if not data:
            close_all(fds)
            return self._lose("the server closed the connection")
        try:
            self._session.receive(data, fds)
        except MemslotsError as error:
            self._lose(str(error))
        if len(self._session.events) >= QUEUED_EVENTS and not self._session.is_waiting:
            self._pause()
        self._arrived.set()

    def _lose(self, reason: str, kind: str = "connection-lost") -> None:
        self._pause()
        self._session.lose(reason, kind)
        self._arrived.set()
        self._socket.close()
