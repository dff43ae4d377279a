"""A VMM of a few lines for memslotctl run: it splits its RAM with two holes, call by call.

vmm.py [FILE]       waits until FILE exists, first
vmm.py --overlap    makes a call at the end that the kernel refuses
"""

import ctypes
import fcntl
import mmap
import os
import struct
import sys
import time


def main():
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    vm = fcntl.ioctl(kvm, 0xAE01, 0)
    deadline = time.monotonic() + 30
    overlap = sys.argv[1:] == ["--overlap"]
    while (
        sys.argv[1:]
        and not overlap
        and not os.path.exists(sys.argv[1])
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    ram = mmap.mmap(-1, 1 << 20)
    address = ctypes.addressof(ctypes.c_char.from_buffer(ram))

    def set_slot(slot, guest_address, size, user_address):
        fcntl.ioctl(
            vm, 0x4020AE46, struct.pack("=IIQQQ", slot, 0, guest_address, size, user_address)
        )

    set_slot(0, 0, 1 << 20, address)
    set_slot(0, 0, 0, address)
    set_slot(0, 0, 0x80000, address)
    set_slot(1, 0x80000, 0x80000, address + 0x80000)
    if overlap:
        try:
            set_slot(2, 0, 4096, address)
        except FileExistsError:
            pass
    os.close(vm)
    print("done", flush=True)
    os._exit(0)  # Without unmapping the RAM first, which a report would find.


if __name__ == "__main__":
    main()
