public import Memslots

/// A simulated VM for a slot table: the kernel's rules without a kernel.
///
/// Call it from any thread. A lock serialises the calls; none waits for anything else.
public final class SimulatedBackend: MemoryAttributeBackend {
    private struct State: Sendable {
        var kernel: SimulatedKernel
        var faults = FaultSchedule()
    }

    /// The limits that arrays are validated against.
    public let capabilities: Capabilities
    private let state: Locked<State>

    /// Creates a VM without slots.
    ///
    /// - Parameters:
    ///   - capabilities: the limits. `maxPagesPerSlot` is expected to be KVM's.
    ///   - dirtyLogProtection: how dirty bits are cleared. It determines `dirtyLogStartsFull` of
    ///     the backend's ``capabilities``.
    public init(
        capabilities: Capabilities = Capabilities(),
        dirtyLogProtection: DirtyLogProtection = .automatic
    ) {
        var capabilities = capabilities
        capabilities.dirtyLogStartsFull = dirtyLogProtection.startsFull
        capabilities.memoryAttributes = capabilities.addressSpaces == 1
        self.capabilities = capabilities
        self.state = Locked(
            State(
                kernel: SimulatedKernel(
                    capabilities: capabilities, dirtyLogProtection: dirtyLogProtection)))
    }

    /// Creates a VM without slots, as configured.
    ///
    /// - Throws: the member of `configuration` that is out of its range.
    public convenience init(
        configuration: SimulatorConfiguration
    ) throws(SimulatorConfigurationError) {
        self.init(
            capabilities: try configuration.capabilities(),
            dirtyLogProtection: configuration.dirtyLogProtection)
    }

    /// Applies one call as the kernel would, unless an armed fault fires.
    ///
    /// - Throws: the kernel's errno, or the fault's. Then the slots are unchanged.
    public func apply(_ call: SlotCall) throws(Errno) {
        try state.withLock { state throws(Errno) in
            try state.faults.nextCall()
            try state.kernel.setMemoryRegion(call.words)
        }
    }

    /// As the kernel would, unless an armed fault fires. Throws the kernel's errno, or the fault's.
    public func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        try state.withLock { state throws(Errno) in
            try state.faults.nextCall()
            try state.kernel.setMemoryAttributes(
                range.address.rawValue, range.size.rawValue,
                isPrivate ? SimulatedKernel.privateAttribute : 0)
        }
    }

    /// Does nothing: dirty pages are in the logs of their slots.
    public func collectDirtyPages() {}

    /// Returns the dirty log of an installed slot.
    ///
    /// Without `clear`, the bits stay only with a manual ``DirtyLogProtection``, as in a kernel.
    ///
    /// - Throws: `ENOENT` for a slot that is not installed or does not log.
    public func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try state.withLock { state throws(Errno) in
            let bitmap = try state.kernel.getDirtyLog(of: slot.assignedKey)
            if clear { state.kernel.removeDirtyPages(of: slot.assignedKey) }
            return bitmap
        }
    }

    /// Starts to number calls from 0 again, for armed faults.
    public func beginTransaction() {
        state.withLock { state in
            state.faults.beginTransaction()
            state.kernel.files.dropIdleOwnFiles()
        }
    }

    /// Marks every page of a range dirty, as a guest's write would.
    ///
    /// Pages of slots that do not log are skipped. A size of 0 marks nothing and is no error.
    ///
    /// - Throws: the first unmapped or read-only page of the range. Then no page is marked.
    public func touch(
        _ address: GuestPhysicalAddress, size: ByteCount, in addressSpace: AddressSpaceID = .main
    ) throws(TouchError) {
        try state.withLock { state throws(TouchError) in
            try state.kernel.touch(address, size: size, in: addressSpace)
        }
    }

    /// Creates a guest_memfd that slots can name in their `guestMemfd`.
    ///
    /// - Parameter size: bytes; a multiple of the VM's page, not 0.
    /// - Returns: a handle; never −1, which stands for `GuestMemfdBinding.own`.
    /// - Throws: `ENOTTY` if the VM has no `guest-memfd`; `EINVAL` for the size.
    public func makeGuestMemfd(size: ByteCount) throws(Errno) -> Int32 {
        try state.withLock { state throws(Errno) in try state.kernel.makeGuestMemfd(size: size) }
    }

    /// Closes a guest_memfd. Slots that are bound to it stay installed, without a file.
    ///
    /// - Throws: `EBADF` if the handle is not open.
    public func closeGuestMemfd(_ descriptor: Int32) throws(Errno) {
        try state.withLock { state throws(Errno) in try state.kernel.closeGuestMemfd(descriptor) }
    }

    /// Arms a fault, after those already armed at the same operation.
    public func inject(_ fault: FaultInjection) { state.withLock { $0.faults.arm(fault) } }

    /// Disarms every fault.
    public func clearFaults() { state.withLock { $0.faults.clear() } }

    /// The armed faults with the remaining times of each, ascending by operation.
    public var armedFaults: [FaultInjection] { state.withLock { $0.faults.armedFaults } }

    /// The installed slots, ascending by address space and id, each as it was last given.
    public var installedSlots: [Memslot] { state.withLock { $0.kernel.slots } }

    /// The guest ranges that are private, ascending and merged.
    public var privateRanges: [GuestRange] { state.withLock { $0.kernel.privateRanges.ranges } }

    /// How often the kernel would have exchanged its two sets of slots, one grace period each.
    public var swapCount: UInt64 { state.withLock { $0.kernel.swapCount } }

    /// The number of slot calls by their effect. Calls that a fault failed are not counted.
    public var operationCounts: OperationCounts { state.withLock { $0.kernel.operationCounts } }
}

extension SlotCall {
    /// The slot as passed to the kernel: a deletion has a size of 0.
    fileprivate var words: Memslot {
        switch self {
        case .create(let slot), .move(_, let slot), .reflag(_, let slot): return slot
        case .delete(var slot):
            slot.size = .zero
            return slot
        }
    }
}
