import Memslots

/// The descriptors that a slot call can name, and which ranges of which file are bound to slots.
///
/// Kernel: virt/kvm/guest_memfd.c.
struct GuestMemfdFiles: Sendable {
    /// What is behind an open descriptor.
    private enum Description: Sendable {
        case file(File)
        /// Open, but no guest_memfd of this VM.
        case foreign
    }

    private struct File: Sendable {
        var size: Int64
        /// Pages of the file; one address space, and ids that nobody asks for.
        var bound = PageOrder()
    }

    /// A file that a slot has of its own: the number tells one from the next.
    private struct OwnFile: Sendable {
        var size: UInt64
        var number: UInt64
    }

    /// What a slot is bound to.
    enum Bound: Hashable, Sendable {
        case descriptor(Int32, firstPage: UInt64)
        case own
    }

    private var descriptions: [Int32: Description] = [:]
    private var nextDescriptor: Int32 = 3
    private var own: [SlotKey: OwnFile] = [:]
    private var ownFilesMade: UInt64 = 0
    /// Slots with an own file that went away; their next creation may want it back.
    private var idleOwn: Set<SlotKey> = []

    /// Opens a file of `size` bytes.
    ///
    /// Kernel: `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// - Throws: `EINVAL` unless `size` is a multiple of 4096, not 0, and fits `loff_t`;
    ///   `EMFILE` with 2^31 descriptors.
    mutating func create(size: UInt64) throws(Errno) -> Int32 {
        guard let fileSize = Int64(exactly: size), fileSize > 0, ByteCount(size).isPageAligned
        else { throw .invalidArgument }
        return try open(.file(File(size: fileSize)))
    }

    /// Opens something that no slot of this VM can be bound to.
    mutating func openForeign() throws(Errno) -> Int32 { try open(.foreign) }

    /// Closes `descriptor`. Slots on the file stay, and nothing is bound any more: a slot holds
    /// no reference to its file.
    ///
    /// - Throws: `EBADF` where it is not open.
    mutating func close(_ descriptor: Int32) throws(Errno) {
        guard descriptions.removeValue(forKey: descriptor) != nil else { throw .badFileDescriptor }
    }

    /// Binds the file that `slot` names to it.
    ///
    /// - Parameter slot: has `guest-memfd`, an aligned offset, and a size that isn't 0.
    /// - Throws: `EBADF` for a descriptor that isn't open; `EINVAL` for one that is no
    ///   guest_memfd of this VM, for a range past the file's end and for one that is bound.
    mutating func bind(_ slot: Memslot, providesOwn: Bool) throws(Errno) -> Bound {
        guard let binding = slot.guestMemfd else { throw .invalidArgument }
        if binding.descriptor == GuestMemfdBinding.own.descriptor, providesOwn {
            guard binding.offset == .zero else { throw .invalidArgument }
            takeOwn(slot.assignedKey, size: slot.size.rawValue)
            return .own
        }
        switch descriptions[binding.descriptor] {
        case nil: throw .badFileDescriptor
        case .foreign: throw .invalidArgument
        case .file(var file):
            // The kernel adds in `loff_t`: a sum past 2^63 is negative to it, and passes.
            let offset = Int64(bitPattern: binding.offset.rawValue)
            let end = offset &+ Int64(truncatingIfNeeded: slot.size.rawValue)
            guard offset >= 0, end <= file.size else { throw .invalidArgument }
            let pages = binding.offset.pageCount..<binding.offset.pageCount + slot.pageCount
            guard !file.bound.isOccupied(pages, in: 0, except: nil) else {
                throw .invalidArgument
            }
            // Let go of the table's reference, so that the order is changed in place.
            descriptions[binding.descriptor] = .foreign
            file.bound.insert(PageOrder.Entry(space: 0, id: 0, pages: pages))
            descriptions[binding.descriptor] = .file(file)
            return .descriptor(binding.descriptor, firstPage: pages.lowerBound)
        }
    }

    /// Takes the binding of the slot `key` back.
    mutating func unbind(_ bound: Bound, from key: SlotKey) {
        switch bound {
        case .own: idleOwn.insert(key)
        case .descriptor(let descriptor, let firstPage):
            guard case .file(var file) = descriptions[descriptor] else { return }
            descriptions[descriptor] = .foreign
            file.bound.remove(startingAt: firstPage, in: 0)
            descriptions[descriptor] = .file(file)
        }
    }

    /// Drops the own files of slots that went away and didn't come back.
    mutating func dropIdleOwnFiles() {
        for key in idleOwn { own[key] = nil }
        idleOwn = []
    }

    /// Which own file the slot `key` has: the number changes when the file does.
    func numberOfOwnFile(of key: SlotKey) -> UInt64? { own[key]?.number }

    private mutating func takeOwn(_ key: SlotKey, size: UInt64) {
        idleOwn.remove(key)
        if own[key]?.size == size { return }
        ownFilesMade += 1
        own[key] = OwnFile(size: size, number: ownFilesMade)
    }

    private mutating func open(_ description: Description) throws(Errno) -> Int32 {
        let (next, overflow) = nextDescriptor.addingReportingOverflow(1)
        guard !overflow else { throw Errno(rawValue: 24) }
        defer { nextDescriptor = next }
        descriptions[nextDescriptor] = description
        return nextDescriptor
    }
}
