"""Events of a daemon as an iterator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Optional, Tuple, Type, TypeVar

from ._connection import DEFAULT_TIMEOUT
from .errors import ConnectionLostError, NotFoundError
from .events import Destroyed, Event, RunEnded
from .slots import Snapshot

if TYPE_CHECKING:
    from .client import Client

E = TypeVar("E", bound=Event)


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

        :param timeout: seconds to wait for each event.
        :raises RequestTimeoutError: none came in time.
        :raises ConnectionLostError: the stream is over.
        """
        while True:
            try:
                event = self.next(timeout)
            except StopIteration:
                raise ConnectionLostError(
                    f"the events are over, and no {kind.__name__} was among them", "stream-over"
                ) from None
            if isinstance(event, kind):
                return event

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
