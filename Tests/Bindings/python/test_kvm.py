"""Table on KVM, with a vCPU."""

import ctypes
import fcntl
import mmap
import os
import platform
import struct
import threading
import time

import memslots
import pytest
from memslots import Flags, Slot, Table
from memslots.kvm import HostMemory


def test_slots_of_a_real_vm(kvm_vm):
    with HostMemory(0x200000) as memory, Table.kvm(kvm_vm) as table:
        ram = Slot(0, len(memory), memory.address, flags=Flags.LOG_DIRTY_PAGES, id=0)
        assert table.submit([ram]).committed
        receipt = table.submit(ram.split(0xA0000, 0xC0000))
        assert len(receipt.operations) == 4 and list(table.dirty_log(2)) == []
        assert table.translate(0xA0000).user_address == memory.address + 0xA0000
        with pytest.raises(memslots.UnavailableError):
            table.inject_fault(0)
        with pytest.raises(memslots.InvalidArrayError):
            table.submit([ram, ram.replace(id=1)])
        table.submit([])


def test_a_table_adopts_the_slots_that_a_vm_has(kvm_vm):
    with HostMemory(0x1000) as memory:
        slot = Slot(0, 0x1000, memory.address, id=3)
        with Table.kvm(kvm_vm) as table:
            table.submit([slot])
        with Table.kvm(kvm_vm, installed=[slot]) as table:
            assert list(table.get()) == [slot]
            table.submit([])
        # An ordinary VM has no private memory, so it can't be said to have some.
        with pytest.raises(memslots.InvalidArrayError):
            Table.kvm(kvm_vm, attributes=[(0, 0x1000)])


class Guest:
    """A vCPU that writes the numbers from 0 on to port 0x10."""

    CODE = bytes([0xE6, 0x10, 0xFE, 0xC0, 0xEB, 0xFA])  # out 0x10, al; inc al; jmp -6

    def __init__(self, vm):
        self.descriptor = fcntl.ioctl(vm, 0xAE41, 0)
        with open("/dev/kvm", "rb+", buffering=0) as kvm:
            size = fcntl.ioctl(kvm, 0xAE04, 0)
        self.run = mmap.mmap(self.descriptor, size)
        self.anchor = ctypes.c_char.from_buffer(self.run)
        sregs = bytearray(312)
        fcntl.ioctl(self.descriptor, 0x8138AE83, sregs)
        struct.pack_into("<QIH", sregs, 0, 0, 0xFFFF, 0)  # cs: base, limit, selector
        fcntl.ioctl(self.descriptor, 0x4138AE84, bytes(sregs))
        regs = bytearray(144)
        struct.pack_into("<QQ", regs, 128, 0x1000, 2)  # rip, rflags
        fcntl.ioctl(self.descriptor, 0x4090AE82, bytes(regs))

    @property
    def address(self):
        return ctypes.addressof(self.anchor)

    def port(self):
        """The byte that the guest wrote, or None if it left for another reason."""
        (reason,) = struct.unpack_from("<I", self.run, 8)
        if reason != 2:
            return None
        (offset,) = struct.unpack_from("<Q", self.run, 40)
        return self.run[offset]

    def close(self):
        del self.anchor
        self.run.close()
        os.close(self.descriptor)


def test_a_guest_sees_no_change_while_its_memory_is_split(kvm_vm):
    if platform.machine() != "x86_64":
        pytest.skip(f"the guest's code is for x86_64, not {platform.machine()}")
    with HostMemory(0x20000) as memory, Table.kvm(kvm_vm) as table:
        memory.buffer[0x1000 : 0x1000 + len(Guest.CODE)] = Guest.CODE
        ram = Slot(0, len(memory), memory.address, id=0)
        table.submit([ram])
        guest = Guest(kvm_vm)
        written, stop = [], threading.Event()
        with table.vcpu(guest.descriptor, guest.address, name="guest") as vcpu:

            def loop():
                memslots.accept_kicks()
                while not stop.is_set():
                    left, _ = vcpu.run()
                    if left is memslots.Exit.GUEST:
                        written.append(guest.port())

            thread = threading.Thread(target=loop)
            thread.start()
            for index in range(20):
                table.submit(ram.split(0x10000) if index % 2 else [ram])
            deadline = time.monotonic() + 20
            while len(written) < 1000 and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)
            stop.set()
            vcpu.kick()
            thread.join(20)
            assert not thread.is_alive()
        guest.close()
        assert written == [index % 256 for index in range(len(written))] and len(written) >= 1000
        table.submit([])


def test_a_vcpu_needs_kvm(memslot_vm):
    with pytest.raises(memslots.UnavailableError):
        memslot_vm.vcpu(0, 4096)


def test_host_memory_has_whole_pages():
    with pytest.raises(ValueError, match="5000 is no multiple"):
        HostMemory(5000)
