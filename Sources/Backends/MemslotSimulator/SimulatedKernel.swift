package import Memslots

/// The memslots of one VM as the kernel keeps them: the installed slots, their dirty logs, and the
/// cost of the calls.
///
/// A plain value without locks or threads. It checks the kernel's rules in the kernel's order and
/// throws the kernel's errno. Rules that need a second process (`EIO` for a forked child) or a lack
/// of memory (`ENOMEM`) are not simulated.
///
/// Its memory grows with the number of installed slots and of dirty pages, not with a slot's size.
package struct SimulatedKernel: Sendable {
    package let capabilities: Capabilities
    package internal(set) var dirtyLogProtection: DirtyLogProtection
    /// How often the kernel would have exchanged its two sets of slots, one grace period each.
    package internal(set) var swapCount: UInt64 = 0
    package internal(set) var operationCounts = OperationCounts()

    /// The guest pages that are private, whether a slot is there or not.
    package private(set) var privateRanges = GuestRangeSet()

    /// The slots as they were last given.
    var installed: [SlotKey: Memslot] = [:]
    /// The logs of exactly the slots that log. Apart from the slots, of which few have one.
    var logs: [SlotKey: DirtyBitmap] = [:]
    /// What exactly the `guest-memfd` slots are bound to.
    var bindings: [SlotKey: GuestMemfdFiles.Bound] = [:]
    var addressOrder = PageOrder()
    var files: GuestMemfdFiles

    /// Creates a VM without slots.
    ///
    /// - Parameters:
    ///   - capabilities: the limits. With `providesGuestMemfd`, a `guest-memfd` slot whose
    ///     descriptor is −1 gets a file of its own; otherwise that is `EBADF`.
    ///   - dirtyLogProtection: how dirty bits are cleared.
    package init(
        capabilities: Capabilities = Capabilities(),
        dirtyLogProtection: DirtyLogProtection = .automatic
    ) {
        (self.capabilities, self.dirtyLogProtection) = (capabilities, dirtyLogProtection)
        self.files = GuestMemfdFiles(capabilities)
    }

    /// The installed slots, ascending by address space and id, each as it was last given.
    package var slots: [Memslot] { installed.values.sorted { $0.assignedKey < $1.assignedKey } }

    package var slotCount: Int { installed.count }

    /// Kernel: `KVM_MEMORY_ATTRIBUTE_PRIVATE`.
    package static let privateAttribute: UInt64 = 1 << 3

    /// Kernel: `KVM_SET_MEMORY_ATTRIBUTES`, `kvm_vm_ioctl_set_mem_attributes`, virt/kvm/kvm_main.c.
    package mutating func setMemoryAttributes(
        _ address: UInt64, _ size: UInt64, _ attributes: UInt64, flags: UInt64 = 0
    ) throws(Errno) {
        guard capabilities.memoryAttributes else { throw Errno(rawValue: 25) }
        let (start, size) = (GuestPhysicalAddress(address), ByteCount(size))
        // A range that ends at 2^64 wraps, too.
        guard flags == 0, attributes & ~Self.privateAttribute == 0, size != .zero,
            start.advanced(by: size) != nil, start.isMultiple(of: capabilities.pageSize),
            size.isMultiple(of: capabilities.pageSize)
        else { throw .invalidArgument }
        privateRanges.set(GuestRange(address: start, size: size), attributes != 0)
    }

    package subscript(key: SlotKey) -> Memslot? { installed[key] }

    /// See ``SimulatedBackend/makeGuestMemfd(size:)``. Kernel: `KVM_CREATE_GUEST_MEMFD`.
    package mutating func makeGuestMemfd(size: ByteCount) throws(Errno) -> Int32 {
        guard capabilities.flags.contains(.guestMemfd) else { throw Errno(rawValue: 25) }
        return try files.create(size: size.rawValue)
    }

    /// See ``SimulatedBackend/closeGuestMemfd(_:)``.
    package mutating func closeGuestMemfd(_ descriptor: Int32) throws(Errno) {
        try files.close(descriptor)
    }
}

/// The effect of a slot call, which depends on the installed slot.
///
/// Kernel: `enum kvm_mr_change`, include/linux/kvm_host.h, and the call that changes nothing.
package enum SlotChange: Hashable, Sendable, CaseIterable {
    /// The id was free: a new slot.
    case create
    /// The slot was deleted.
    case delete
    /// The slot has another guest physical address, and perhaps another `log-dirty-pages`.
    case move
    /// Only `log-dirty-pages` changed.
    case flagsOnly
    /// Nothing changed.
    case unchanged

    /// How often the kernel exchanges its two sets of slots, waiting for a grace period each time.
    package var swaps: UInt64 {
        switch self {
        case .create, .flagsOnly: 1
        case .delete, .move: 2
        case .unchanged: 0
        }
    }
}

/// The two calls that change a slot.
package enum SlotCallForm: Hashable, Sendable {
    /// `KVM_SET_USER_MEMORY_REGION`, which has no guest_memfd.
    case region
    /// `KVM_SET_USER_MEMORY_REGION2`, since Linux 6.8.
    case region2
}

/// The number of slot calls of a simulated kernel, by their effect.
public struct OperationCounts: Hashable, Sendable {
    /// Slots created.
    public internal(set) var creates: UInt64 = 0
    /// Slots deleted.
    public internal(set) var deletes: UInt64 = 0
    /// Slots moved.
    public internal(set) var moves: UInt64 = 0
    /// Slots whose `log-dirty-pages` alone changed.
    public internal(set) var reflags: UInt64 = 0
    /// Calls that changed nothing.
    public internal(set) var unchanged: UInt64 = 0
    /// Calls that failed with an errno.
    public internal(set) var refused: UInt64 = 0

    mutating func count(_ change: SlotChange) {
        switch change {
        case .create: creates += 1
        case .delete: deletes += 1
        case .move: moves += 1
        case .flagsOnly: reflags += 1
        case .unchanged: unchanged += 1
        }
    }
}
