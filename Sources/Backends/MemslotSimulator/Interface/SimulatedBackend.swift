public import Memslots

/// A simulated VM for a slot table: the kernel's rules without a kernel.
///
/// Call from any thread; each call is carried out by itself, and none waits for anything else.
public final class SimulatedBackend: MemslotBackend {
    private struct State: Sendable {
        var kernel: SimulatedKernel
        var faults = FaultSchedule()
    }

    /// What the VM allows.
    public let capabilities: Capabilities
    private let state: Locked<State>

    /// A VM without slots, with limits of the embedder's choice.
    ///
    /// - Parameters:
    ///   - capabilities: the limits. `maxPagesPerSlot` is expected to be KVM's.
    ///   - dirtyLogProtection: who clears dirty bits. Where it says that logs start full, so do
    ///     the backend's ``capabilities``.
    public init(
        capabilities: Capabilities = Capabilities(),
        dirtyLogProtection: DirtyLogProtection = .automatic
    ) {
        var capabilities = capabilities
        capabilities.dirtyLogStartsFull = dirtyLogProtection.startsFull
        self.capabilities = capabilities
        self.state = Locked(
            State(
                kernel: SimulatedKernel(
                    capabilities: capabilities, dirtyLogProtection: dirtyLogProtection)))
    }

    /// A VM without slots, as configured.
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
    /// - Throws: the kernel's errno, or the fault's; the slots are then as before the call.
    public func apply(_ call: SlotCall) throws(Errno) {
        try state.withLock { state throws(Errno) in
            try state.faults.nextCall()
            try state.kernel.setMemoryRegion(call.words)
        }
    }

    /// Answers the dirty log of an installed slot.
    ///
    /// Without `clear`, the bits stay only under a manual ``DirtyLogProtection``, as in a kernel.
    ///
    /// - Throws: `ENOENT` for a slot that isn't there or doesn't log.
    public func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try state.withLock { state throws(Errno) in
            let bitmap = try state.kernel.getDirtyLog(of: slot.assignedKey)
            if clear { state.kernel.removeDirtyPages(of: slot.assignedKey) }
            return bitmap
        }
    }

    /// Numbers slot calls from 0 again, for the faults that are armed.
    public func beginTransaction() {
        state.withLock { state in
            state.faults.beginTransaction()
            state.kernel.dropIdleGuestMemfds()
        }
    }

    /// Does nothing: dirty pages are in the logs of their slots.
    public func collectDirtyPages() {}

    /// Marks every page that the range meets dirty, as a guest's write would.
    ///
    /// Pages that are not logged are passed over. A size of 0 touches nothing and is no error.
    ///
    /// - Throws: the first hole or read-only page, by ascending address; nothing is marked then.
    public func touch(
        _ address: GuestPhysicalAddress, size: ByteCount, in addressSpace: AddressSpaceID = .main
    ) throws(TouchError) {
        try state.withLock { state throws(TouchError) in
            try state.kernel.touch(address, size: size, in: addressSpace)
        }
    }

    /// Opens a guest_memfd for slots to name in their `guestMemfd`.
    ///
    /// - Parameter size: bytes; a multiple of 4096, not 0.
    /// - Returns: a handle; never −1, which stands for ``GuestMemfdBinding/own``.
    /// - Throws: `ENOTTY` if the VM takes no `guest-memfd` slots; `EINVAL` for the size.
    public func createGuestMemfd(size: ByteCount) throws(Errno) -> Int32 {
        try state.withLock { state throws(Errno) in
            try state.kernel.createGuestMemfd(size: size)
        }
    }

    /// Closes a guest_memfd. Slots on it stay installed, without a file.
    ///
    /// - Throws: `EBADF` where the handle is not open.
    public func closeGuestMemfd(_ descriptor: Int32) throws(Errno) {
        try state.withLock { state throws(Errno) in
            try state.kernel.closeGuestMemfd(descriptor)
        }
    }

    /// Arms a fault, behind those already armed at the same operation.
    public func inject(_ fault: FaultInjection) {
        state.withLock { $0.faults.arm(fault) }
    }

    /// Disarms every fault.
    public func clearFaults() {
        state.withLock { $0.faults.clear() }
    }

    /// The faults still armed with the times left to each, ascending by operation.
    public var armedFaults: [FaultInjection] { state.withLock { $0.faults.armedFaults } }

    /// What is really installed, ascending by address space and id, each slot as it was given.
    public var installedSlots: [Memslot] { state.withLock { $0.kernel.slots } }

    /// How often the kernel would have exchanged its sets of slots, a grace period each.
    public var swapCount: UInt64 { state.withLock { $0.kernel.swapCount } }

    /// The slot calls so far, by what they turned out to be. Faults are not counted.
    public var operationCounts: OperationCounts { state.withLock { $0.kernel.operationCounts } }
}

extension SlotCall {
    /// What the kernel is handed: a deletion is the slot with a size of 0.
    fileprivate var words: Memslot {
        switch self {
        case .create(let slot), .move(_, let slot), .reflag(_, let slot): return slot
        case .delete(var slot):
            slot.size = .zero
            return slot
        }
    }
}
