"""Events of a daemon as an iterator."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Iterator, Optional, Tuple, Type, TypeVar

from ._connection import DEFAULT_TIMEOUT
from .errors import ConnectionLostError, NotFoundError, RequestTimeoutError
from .events import Destroyed, Event, RunEnded
from .slots import Snapshot

if TYPE_CHECKING:
    from .client import Client

E = TypeVar("E", bound=Event)


class Deadline:
    """The end of a wait for one event among others."""

    def __init__(self, kind: Type[Event], timeout: Optional[float]) -> None:
        self._kind = kind.__name__
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._skipped = 0

    def remaining(self) -> Optional[float]:
        """Seconds, at least 0; None: for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def skip(self, has_more: bool) -> None:
        """Counts an event of another class.

        :param has_more: whether more have arrived, which are read also after the end.
        :raises RequestTimeoutError: it was the last.
        """
        self._skipped += 1
        if self.remaining() == 0 and not has_more:
            raise self.late()

    def late(self) -> RequestTimeoutError:
        """The error for a stream without one until the end."""
        text = f"no {self._kind} within {self._timeout} s; other events that came: {self._skipped}"
        return RequestTimeoutError(text, "timeout")

    def over(self) -> ConnectionLostError:
        """The error for a stream that ended first."""
        text = f"the events are over, and no {self._kind} was among them"
        return ConnectionLostError(text, "stream-over")


class EventStream(Iterator[Event]):
    """Events of one VM or of all. A context manager; `close` ends it.

    Iteration ends after `events.RunEnded`, and for one VM after its `events.Destroyed`. If the
    connection ends otherwise, it raises `ConnectionLostError`.
    """

    snapshots: Tuple[Snapshot, ...]
    """What each VM was when the stream began."""

    def __init__(
        self, client: Client, vm: Optional[str], timeout: Optional[float], owns_client: bool
    ) -> None:
        self.timeout = timeout
        self._client = client
        self._vm = vm
        self._owns_client = owns_client
        self._is_over = False
        self.snapshots = client.subscribe(vm)

    def __repr__(self) -> str:
        of = "all VMs" if self._vm is None else repr(self._vm)
        return f"<{'ended ' if self._is_over else ''}EventStream of {of}>"

    @property
    def snapshot(self) -> Snapshot:
        """What the VM was when the stream of one VM began."""
        return self.snapshots[0]

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        return self.next(self.timeout)

    def next(self, timeout: Optional[float]) -> Event:
        """The next event.

        :param timeout: seconds; None: for ever.
        :raises RequestTimeoutError: none came in time. The stream goes on.
        :raises StopIteration: the stream is over.
        """
        if self._is_over:
            raise StopIteration
        event = self._client.next_event(timeout)
        ended = isinstance(event, Destroyed) and event.vm == self._vm
        if ended or isinstance(event, RunEnded):
            self._is_over = True
            if self._owns_client:
                self._client.close()
        return event

    def wait_for(self, kind: Type[E], timeout: Optional[float] = DEFAULT_TIMEOUT) -> E:
        """The next event of a class, such as `events.Committed`; others are skipped.

        :param timeout: seconds for all of it, whatever else comes meanwhile; 0: only what is there.
        :raises RequestTimeoutError: none came in time.
        :raises ConnectionLostError: the stream is over.
        """
        deadline = Deadline(kind, timeout)
        while True:
            try:
                event = self.next(deadline.remaining())
            except StopIteration:
                raise deadline.over() from None
            except RequestTimeoutError:
                raise deadline.late() from None
            if isinstance(event, kind):
                return event
            deadline.skip(self._client._connection.has_events)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the subscription."""
        self._is_over = True
        if self._owns_client:
            self._client.close()
            return
        try:
            self._client.unsubscribe(self._vm)
        except (NotFoundError, ConnectionLostError):
            pass  # The VM, or the connection, has ended, and the subscription with it.
        # The server sends nothing of this subscription after its reply.
        self._client._connection.discard_events()
