"""Events of a daemon as an asynchronous iterator."""

from __future__ import annotations

from typing import TYPE_CHECKING, AsyncIterator, Optional, Tuple, Type, TypeVar

from .._connection import DEFAULT_TIMEOUT
from ..errors import ConnectionLostError, NotFoundError, RequestTimeoutError
from ..events import Destroyed, Event, RunEnded
from ..slots import Snapshot
from ..stream import Deadline

if TYPE_CHECKING:
    from ._client import AsyncClient

E = TypeVar("E", bound=Event)


class AsyncEventStream(AsyncIterator[Event]):
    """Events of one VM or of all: see `memslots.EventStream`.

    A stream that nobody refers to any more, such as that of an ``async for`` that was cancelled, closes
    its connection.
    """

    snapshots: Tuple[Snapshot, ...] = ()
    """What each VM was when the stream began."""

    def __init__(
        self, client: AsyncClient, vm: Optional[str], timeout: Optional[float], owns_client: bool
    ) -> None:
        self.timeout = timeout
        self._client = client
        self._vm = vm
        self._owns_client = owns_client
        self._is_begun = False
        self._is_over = False

    def __del__(self) -> None:
        if self._owns_client and self._is_begun and not self._is_over:
            self._client._abandon()

    def __repr__(self) -> str:
        of = "all VMs" if self._vm is None else repr(self._vm)
        return f"<{'ended ' if self._is_over else ''}AsyncEventStream of {of}>"

    @property
    def snapshot(self) -> Snapshot:
        """What the VM was when the stream of one VM began."""
        return self.snapshots[0]

    async def __aenter__(self) -> AsyncEventStream:
        if not self._is_begun:
            await self._client.open()
            try:
                self.snapshots = await self._client.subscribe(self._vm)
            except BaseException:
                if self._owns_client:
                    self._client.close()
                raise
            self._is_begun = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.next(self.timeout)
        except BaseException:
            del self  # A task keeps the traceback of its cancellation, which must not keep us.
            raise

    async def next(self, timeout: Optional[float]) -> Event:
        """The next event.

        :param timeout: seconds; None: for ever.
        :raises RequestTimeoutError: none came in time. The stream goes on.
        :raises StopAsyncIteration: the stream is over.
        """
        if self._is_over:
            raise StopAsyncIteration
        try:
            await self.__aenter__()
            event = await self._client.next_event(timeout)
        except BaseException:
            del self
            raise
        ended = isinstance(event, Destroyed) and event.vm == self._vm
        if ended or isinstance(event, RunEnded):
            self._is_over = True
            if self._owns_client:
                self._client.close()
        return event

    async def wait_for(self, kind: Type[E], timeout: Optional[float] = DEFAULT_TIMEOUT) -> E:
        """The next event of a class; others are skipped: see `memslots.EventStream.wait_for`."""
        deadline = Deadline(kind, timeout)
        while True:
            try:
                event = await self.next(deadline.remaining())
            except StopAsyncIteration:
                raise deadline.over() from None
            except RequestTimeoutError:
                raise deadline.late() from None
            if isinstance(event, kind):
                return event
            deadline.skip(self._client._open_connection().has_events)

    async def close(self) -> None:
        """Ends the subscription."""
        self._is_over = True
        if self._owns_client:
            self._client.close()
            return
        try:
            await self._client.unsubscribe(self._vm)
        except (NotFoundError, ConnectionLostError):
            pass  # The VM, or the connection, has ended, and the subscription with it.
        self._client._open_connection().discard_events()
