// A size where an address belongs.
// error: cannot convert value of type 'ByteCount' to expected argument type 'GuestPhysicalAddress'
import Memslots

#if MISS
    func ram(_ size: ByteCount) -> Memslot {
        Memslot(guestPhysicalAddress: size, size: size, userspaceAddress: 0x1000)
    }
#else
    func ram(_ size: ByteCount) -> Memslot {
        Memslot(guestPhysicalAddress: 0, size: size, userspaceAddress: 0x1000)
    }
#endif
