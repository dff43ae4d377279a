import Memslots

/// The descriptors that a slot call can name, and the ranges of each file that are bound to slots.
///
/// Kernel: virt/kvm/guest_memfd.c.
struct GuestMemfdFiles: Sendable {
    /// What an open descriptor refers to.
    private enum Description: Sendable {
        case file(File)
        /// Something else than a guest_memfd of this VM.
        case foreign
    }

    private struct File: Sendable {
        var size: Int64
        /// The bound pages of the file. The address space and the ids are always 0.
        var bound = PageOrder()
    }

    /// A slot's own file. Each has another number.
    private struct OwnFile: Sendable { var size, number: UInt64 }

    enum Bound: Hashable, Sendable {
        case descriptor(Int32, firstPage: UInt64)
        case own
    }

    private let pageSize: ByteCount
    /// What binding a part that is bound already returns.
    private let boundRange: Errno
    private var descriptions: [Int32: Description] = [:]
    private var nextDescriptor: Int32 = 3
    private var own: [SlotKey: OwnFile] = [:]
    private var ownFilesMade: UInt64 = 0
    /// Deleted slots with an own file, which they get again if they are created again.
    private var idleOwn: Set<SlotKey> = []

    init(_ capabilities: Capabilities) {
        (pageSize, boundRange) = (capabilities.pageSize, capabilities.facts.boundRange)
    }

    /// Creates a file of `size` bytes and opens it.
    ///
    /// Kernel: `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// - Throws: `EINVAL` unless `size` is a multiple of the page, not 0, and fits in `loff_t`;
    ///   `EMFILE` after 2^31 descriptors.
    mutating func create(size: UInt64) throws(Errno) -> Int32 {
        guard let fileSize = Int64(exactly: size), fileSize > 0,
            ByteCount(size).isMultiple(of: pageSize)
        else { throw .invalidArgument }
        return try open(.file(File(size: fileSize)))
    }

    /// Opens something that slots of this VM cannot be bound to.
    mutating func openForeign() throws(Errno) -> Int32 { try open(.foreign) }

    /// Closes `descriptor`. Slots that are bound to the file stay, without it: a slot holds no
    /// reference to its file.
    ///
    /// - Throws: `EBADF` if it is not open.
    mutating func close(_ descriptor: Int32) throws(Errno) {
        guard descriptions.removeValue(forKey: descriptor) != nil else { throw .badFileDescriptor }
    }

    /// Binds `slot` to the file that it names.
    ///
    /// - Parameter slot: has `guest-memfd`, an aligned offset, and a size other than 0.
    /// - Throws: `EBADF` for a descriptor that is not open; `EINVAL` for one that is no
    ///   guest_memfd of this VM and for a range past the file's end; ``KernelFacts/boundRange``.
    mutating func bind(_ slot: Memslot, providesOwn: Bool) throws(Errno) -> Bound {
        guard let binding = slot.guestMemfd else { throw .invalidArgument }
        if binding.descriptor == GuestMemfdBinding.own.descriptor, providesOwn {
            guard binding.offset == .zero else { throw .invalidArgument }
            provideOwn(slot.assignedKey, size: slot.size.rawValue)
            return .own
        }
        switch descriptions[binding.descriptor] {
        case nil: throw .badFileDescriptor
        case .foreign: throw .invalidArgument
        case .file(var file):
            // The kernel adds in `loff_t`: a sum past 2^63 is negative and passes the check.
            let offset = Int64(bitPattern: binding.offset.rawValue)
            let end = offset &+ Int64(truncatingIfNeeded: slot.size.rawValue)
            guard offset >= 0, end <= file.size else { throw .invalidArgument }
            let first = binding.offset.pages(of: pageSize)
            let pages = first..<first + slot.size.pages(of: pageSize)
            guard !file.bound.isOccupied(pages, in: 0, except: nil) else { throw boundRange }
            // The dictionary must not hold a second reference, or `insert` would copy the order.
            descriptions[binding.descriptor] = .foreign
            file.bound.insert(PageOrder.Entry(space: 0, id: 0, pages: pages))
            descriptions[binding.descriptor] = .file(file)
            return .descriptor(binding.descriptor, firstPage: pages.lowerBound)
        }
    }

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

    /// Removes the own files of slots that were deleted and not created again.
    mutating func dropIdleOwnFiles() {
        for key in idleOwn { own[key] = nil }
        idleOwn = []
    }

    /// The number of the slot's own file, which changes when the file does.
    func numberOfOwnFile(of key: SlotKey) -> UInt64? { own[key]?.number }

    private mutating func provideOwn(_ key: SlotKey, size: UInt64) {
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
