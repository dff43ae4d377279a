"""vCPUs that run their guest inside the gate of a table on KVM."""

from __future__ import annotations

import enum
from ctypes import byref, c_uint32, c_uint64, sizeof
from typing import Optional, Tuple

from . import _library
from ._handle import Handle
from ._library import library


class Exit(enum.IntEnum):
    """Why `VCPU.run` returned."""

    GUEST = 0
    """The guest left; ``struct kvm_run`` describes the exit."""
    INTERRUPTED = 1
    """A signal, a kick or a transaction. Check your own conditions, then run again."""
    NOT_READY = 2
    """The vCPU waits until another one starts it. Run again."""


class Kick(enum.IntFlag):
    """Who asked a vCPU to leave."""

    NOBODY = 0
    TRANSACTION = 1
    EMBEDDER = 2
    """`VCPU.kick` was called."""


class VCPU(Handle):
    """A vCPU of a VM on KVM. It never sees a partial change. A context manager; `close` ends it."""

    def __init__(self, handle: int) -> None:
        """For `Table.vcpu`."""
        self._handle = handle

    @classmethod
    def open(
        cls,
        table: int,
        descriptor: int,
        kvm_run: int,
        id: int,
        name: Optional[str],
        kick_signal: int,
    ) -> VCPU:
        """For `Table.vcpu`."""
        options = _library.CVCPUOptions(
            sizeof(_library.CVCPUOptions),
            descriptor,
            id,
            kvm_run,
            None if name is None else name.encode(),
            kick_signal,
        )
        handle = c_uint64()
        library()("vcpu_open", table, byref(options), byref(handle))
        return cls(handle.value)

    def run(self) -> Tuple[Exit, Kick]:
        """Runs the guest until it leaves; waits first while a transaction holds vCPUs out.

        Hold no lock that a hook or a submitting thread may acquire. Other Python threads run
        meanwhile.

        :raises SystemCallError: ``KVM_RUN`` failed.
        """
        requests = c_uint32()
        result = library()("vcpu_run", self._handle, byref(requests))
        return Exit(result), Kick(requests.value)

    def kick(self) -> None:
        """Makes the vCPU leave the guest, or prevents its next entry. Any thread; never waits."""
        library()("vcpu_kick", self._handle)

    def drain_dirty_ring(self) -> None:
        """Empties the dirty rings, on the vCPU's thread, after ``KVM_EXIT_DIRTY_RING_FULL``."""
        library()("vcpu_drain_dirty_ring", self._handle)

    def __enter__(self) -> VCPU:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends its registration."""
        handle = self._take()
        if handle:
            library()("vcpu_close", handle)


def accept_kicks(kick_signal: int = 0) -> None:
    """Unblocks the kick signal on the calling thread. Call it once on each thread that runs vCPUs,
    before its first `VCPU.run`.

    :param kick_signal: as of `Table.vcpu`.
    """
    library()("accept_kicks", kick_signal)
