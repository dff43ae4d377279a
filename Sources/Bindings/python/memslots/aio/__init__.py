"""The client for asyncio: as `memslots.Client`, method by method, with ``await``::

async with memslots.aio.connect() as client, client.vm("demo") as vm:
    await vm.submit([])
    async for event in client.events(vm="demo"):
        print(event)
"""

from ._client import AsyncClient, connect
from ._stream import AsyncEventStream
from ._vm import AsyncVM

__all__ = ["AsyncClient", "AsyncEventStream", "AsyncVM", "connect"]
