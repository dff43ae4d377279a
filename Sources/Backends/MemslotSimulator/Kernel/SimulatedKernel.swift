public import Memslots

/// The memslots of one VM as the kernel keeps them: what is installed, its dirty logs, and what
/// the calls cost.
///
/// A plain value without locks or threads. It answers by the kernel's rules, in the kernel's
/// order, with the kernel's errno; rules that need a second process (`EIO` for a forked child) or
/// a machine short of memory (`ENOMEM`) are not here.
///
/// Memory: by the installed slots, and by the dirty pages, never by what a slot's size claims.
public struct SimulatedKernel: Sendable {
    /// The limits that calls are judged by.
    public let capabilities: Capabilities
    /// Who clears dirty bits.
    public internal(set) var dirtyLogProtection: DirtyLogProtection
    /// How often the two sets of slots were exchanged: the grace periods waited for.
    public internal(set) var swapCount: UInt64 = 0
    /// The slot calls so far.
    public internal(set) var operationCounts = OperationCounts()

    var installed: [SlotKey: InstalledSlot] = [:]
    var addressOrder = PageOrder()
    var files = GuestMemfdFiles()

    /// A VM without slots.
    ///
    /// - Parameters:
    ///   - capabilities: the limits. Where `providesGuestMemfd` is set, a `guest-memfd` slot
    ///     whose descriptor is −1 gets a file of its own; else that is `EBADF`.
    ///   - dirtyLogProtection: who clears dirty bits.
    public init(
        capabilities: Capabilities = Capabilities(),
        dirtyLogProtection: DirtyLogProtection = .automatic
    ) {
        self.capabilities = capabilities
        self.dirtyLogProtection = dirtyLogProtection
    }

    /// The installed slots, ascending by address space and id, each as it was last given.
    public var slots: [Memslot] {
        installed.values.map(\.slot).sorted { $0.assignedKey < $1.assignedKey }
    }

    /// How many slots are installed.
    public var slotCount: Int { installed.count }

    /// The installed slot `key`, if there is one.
    public subscript(key: SlotKey) -> Memslot? { installed[key]?.slot }

    /// Opens a guest_memfd of `size` bytes that slots can be bound to.
    ///
    /// Kernel: `KVM_CREATE_GUEST_MEMFD`.
    ///
    /// - Parameter size: bytes; a multiple of 4096, not 0.
    /// - Returns: a handle for ``GuestMemfdBinding/descriptor``; never −1, and never used twice.
    /// - Throws: `ENOTTY` if slots take no `guest-memfd`; `EINVAL` for the size.
    public mutating func createGuestMemfd(size: ByteCount) throws(Errno) -> Int32 {
        guard capabilities.flags.contains(.guestMemfd) else { throw Errno(rawValue: 25) }
        return try files.create(size: size.rawValue)
    }

    /// Closes a guest_memfd. Slots on it stay installed, without a file.
    ///
    /// - Throws: `EBADF` where the handle is not open.
    public mutating func closeGuestMemfd(_ descriptor: Int32) throws(Errno) {
        try files.close(descriptor)
    }

    /// Drops the own files of `guest-memfd` slots that were deleted and not created again.
    public mutating func dropIdleGuestMemfds() { files.dropIdleOwnFiles() }
}

/// A slot with what the kernel keeps beside it.
struct InstalledSlot: Sendable {
    /// The slot as it was last given.
    var slot: Memslot
    /// There exactly while the slot logs.
    var log: DirtyBitmap?
    /// There exactly for a `guest-memfd` slot.
    var bound: GuestMemfdFiles.Bound?
}
