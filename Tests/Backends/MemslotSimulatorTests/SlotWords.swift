import MemslotSimulator
import Memslots

/// A slot of `pages` pages at guest page `page`; its user memory depends on `host` alone.
func slot(
    _ id: UInt32, page: UInt64, pages: UInt64 = 4, flags: MemslotFlags = [], host: UInt64 = 0,
    space: UInt32 = 0, guestMemfd: GuestMemfdBinding? = nil
) -> Memslot {
    Memslot(
        id: SlotID(id), addressSpace: AddressSpaceID(space),
        guestPhysicalAddress: GuestPhysicalAddress(page * 4096), size: .pages(pages),
        userspaceAddress: UserspaceAddress(0x7f00_0000_0000 + host * 4096), flags: flags,
        guestMemfd: guestMemfd)
}

extension Memslot {
    /// The words that delete this slot.
    var deletion: Memslot {
        var words = self
        words.size = .zero
        return words
    }
}

extension SimulatedKernel {
    /// Returns the errno of a call, or `nil` if it succeeds.
    mutating func errno(of words: Memslot, _ form: SlotCallForm = .region2) -> Errno? {
        do throws(Errno) {
            try setMemoryRegion(words, form: form)
            return nil
        } catch {
            return error
        }
    }

    /// The dirty pages of a slot; `nil` if it does not log.
    mutating func dirtyPages(of id: UInt32) -> [Range<UInt64>]? {
        try? getDirtyLog(of: SlotKey(id: SlotID(id))).runs
    }
}

/// Returns the errno that `body` throws, or `nil`.
func errno(of body: () throws(Errno) -> Void) -> Errno? {
    do throws(Errno) {
        try body()
        return nil
    } catch {
        return error
    }
}
