"""The little of KVM that a test needs beside `Table.kvm`: a VM, and memory for it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
from typing import Iterator, Optional

from ._handle import Uncopied
from .errors import bad_argument
from .slots import PAGE_SIZE

__all__ = ["create_vm", "HostMemory", "opens"]

DEVICE = "/dev/kvm"

_KVM_CREATE_VM = 0xAE01


def opens() -> bool:
    """Whether /dev/kvm is there, and we may use it."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def create_vm(device: Optional[str] = None) -> Iterator[int]:
    """The descriptor of a new VM, for `Table.kvm`. The block's end closes it: close the table first.

    :param device: None: ``/dev/kvm``.
    :raises OSError: the device does not open, or KVM refuses.
    """
    kvm = os.open(device or DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        vm = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
    finally:
        os.close(kvm)
    try:
        yield vm
    finally:
        os.close(vm)


class HostMemory(Uncopied):
    """Memory of this process for slots: zeroes, mapped until `close`. A context manager.

    >>> with HostMemory(8192) as memory:
    ...     memory.buffer[0:2] = b"ok"
    ...     memory.address % 4096, len(memory.buffer)
    (0, 8192)
    """

    def __init__(self, size: int) -> None:
        """:param size: bytes, a multiple of 4096.
        :raises InvalidRequestError: it is not.
        """
        if size <= 0 or size % PAGE_SIZE:
            raise bad_argument(f"{size} is no multiple of {PAGE_SIZE}")
        self.buffer = mmap.mmap(-1, size)
        """Its bytes."""
        self._anchor = ctypes.c_char.from_buffer(self.buffer)
        self.address = ctypes.addressof(self._anchor)
        """Its address, for `Slot.user_address`."""

    def __len__(self) -> int:
        return len(self.buffer)

    def __enter__(self) -> HostMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmaps it. No slot of a table may use it any more."""
        del self._anchor
        self.buffer.close()
