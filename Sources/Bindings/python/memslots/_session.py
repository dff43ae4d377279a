"""A connection's messages without its socket: lines, requests that wait, and events."""

from __future__ import annotations

import collections
import json
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple, Union

from ._calls import close_all
from .errors import ClientClosedError, ConnectionLostError, MemslotsError, from_wire

Message = Union[Dict[str, Any], List[Dict[str, Any]]]


class LineBuffer:
    """Bytes and descriptors as they arrive, lines as they were sent."""

    def __init__(self) -> None:
        self._chunks: List[bytes] = []
        self._descriptors: List[int] = []

    def feed(self, data: bytes, descriptors: Sequence[int]) -> List[Tuple[bytes, List[int]]]:
        """Adds what one ``recvmsg`` returned, and returns the lines that are whole now."""
        *ends, rest = data.split(b"\n")
        lines: List[Tuple[bytes, List[int]]] = []
        for end in ends:
            lines.append((b"".join([*self._chunks, end]), self._descriptors))
            self._chunks, self._descriptors = [], []
        if rest:
            self._chunks.append(rest)
        # Descriptors belong to the line with the last byte that came with them.
        (self._descriptors if rest or not lines else lines[-1][1]).extend(descriptors)
        return lines

    def close(self) -> None:
        """Closes the descriptors of a line that never ended."""
        close_all(self._descriptors)
        self._descriptors = []


class Waiter:
    """A request, or a batch, whose reply is missing."""

    def __init__(self, ids: Sequence[int], on_done: Optional[Callable[[], None]] = None) -> None:
        self.ids = ids
        self.done = False
        self.error: Optional[MemslotsError] = None
        self.reply: Any = None
        self.descriptors: List[int] = []
        self._on_done = on_done

    def finish(
        self,
        reply: Any = None,
        descriptors: Sequence[int] = (),
        error: Optional[MemslotsError] = None,
    ) -> None:
        """Stores the reply, or why there is none."""
        self.reply, self.descriptors, self.error = reply, list(descriptors), error
        self.done = True
        if self._on_done is not None:
            self._on_done()

    def result(self) -> Tuple[Any, List[int]]:
        """The result of a single request, and its descriptors.

        :raises MemslotsError: the server's error, or the connection's.
        """
        if self.error is not None:
            raise self.error
        if "error" in self.reply:
            close_all(self.descriptors)
            raise from_wire(self.reply["error"])
        return self.reply["result"], self.descriptors

    def results(self) -> List[Union[Any, MemslotsError]]:
        """A result or an error for each request of a batch."""
        if self.error is not None:
            raise self.error
        close_all(self.descriptors)
        by_id = {reply["id"]: reply for reply in self.reply}
        replies = [by_id[id] for id in self.ids]
        return [from_wire(r["error"]) if "error" in r else r["result"] for r in replies]


class Session:
    """Pairs replies with requests, and keeps events in order."""

    def __init__(self) -> None:
        self.events: Deque[Tuple[str, Dict[str, Any]]] = collections.deque()
        self.lost: Optional[ConnectionLostError] = None
        self._lines = LineBuffer()
        self._waiters: Dict[int, Waiter] = {}
        self._last_id = 0

    def check(self) -> None:
        """Refuses to use a connection that has ended.

        :raises ConnectionLostError: it has.
        """
        if self.lost is not None:
            # A new one: an exception that is raised twice shows the tracebacks of both.
            raise _lost(str(self.lost), self.lost.kind)

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is missing."""
        return bool(self._waiters)

    def request(
        self,
        calls: Sequence[Tuple[str, Dict[str, Any]]],
        batch: bool = False,
        on_done: Optional[Callable[[], None]] = None,
    ) -> Tuple[bytes, Waiter]:
        """The line of a request or a batch, and who waits for its reply."""
        self.check()
        requests: List[Dict[str, Any]] = []
        for method, params in calls:
            self._last_id += 1
            requests.append(
                {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
            )
        line = self.line(requests if batch else requests[0])
        waiter = Waiter([request["id"] for request in requests], on_done)
        self._waiters.update((id, waiter) for id in waiter.ids)
        return line, waiter

    @staticmethod
    def line(message: Any) -> bytes:
        """A message as it is sent.

        :raises TypeError: a parameter can't be JSON.
        """
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def abandon(self, waiter: Waiter) -> None:
        """Nobody waits any more; the reply is dropped when it comes."""
        for id in waiter.ids:
            self._waiters.pop(id, None)

    def receive(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Accepts what one ``recvmsg`` returned."""
        for line, claimed in self._lines.feed(data, descriptors):
            try:
                message: Message = json.loads(line)
            except ValueError as error:
                close_all(claimed)
                text = "the server sent a line that is not JSON"
                raise ConnectionLostError(text, "bad-reply") from error
            self._dispatch(message, claimed)

    def _dispatch(self, message: Message, descriptors: List[int]) -> None:
        if isinstance(message, dict) and "method" in message:
            close_all(descriptors)
            self.events.append((message["method"], message["params"]))
            return
        id = message[0].get("id") if isinstance(message, list) else message.get("id")
        if id is None and isinstance(message, dict):
            # The server could not read a line: whose it was can't be known.
            close_all(descriptors)
            for waiter in set(self._waiters.values()):
                self.abandon(waiter)
                waiter.finish(error=from_wire(message["error"]))
            return
        waiter_or_none = self._waiters.get(id) if isinstance(id, int) else None
        if waiter_or_none is None:
            close_all(descriptors)
            return
        self.abandon(waiter_or_none)
        waiter_or_none.finish(message, descriptors)

    def lose(self, reason: str, kind: str = "connection-lost") -> None:
        """The connection ended: every request that waits gets an error."""
        if self.lost is None:
            self.lost = _lost(reason, kind)
        self._lines.close()
        for waiter in set(self._waiters.values()):
            text = f"{reason}; the request may have taken effect"
            waiter.finish(error=_lost(text, kind, sent=True))
        self._waiters.clear()


def _lost(reason: str, kind: str, sent: bool = False) -> ConnectionLostError:
    error = ClientClosedError if kind == "closed" else ConnectionLostError
    return error(reason, kind, data={"sent": True} if sent else None)
