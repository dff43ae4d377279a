public import Memslots

/// Carries slot calls out on a VM of the kernel's.
///
/// The process that made the VM must be the one that calls; another gets `EIO`, which
/// ``explanation(of:)`` puts into words.
public final class KVMBackend: MemslotBackend {
    /// The VM.
    public let vm: VirtualMachine
    /// What arrays are validated against.
    public let capabilities: Capabilities
    /// What else the kernel can do.
    public let kernel: KVMCapabilities
    /// How the dirty log is kept.
    public let dirtyLogMode: DirtyLogMode

    let rings: DirtyRingLog?
    private let guestMemfds = Locked(BoundGuestMemfds())

    /// Makes a VM without slots.
    ///
    /// On x86 KVM's own pages are put where ``ReservedRanges/ownVM`` says.
    ///
    /// - Parameters:
    ///   - system: the host.
    ///   - options: what to switch on.
    /// - Throws: a call's failure, or what the host lacks for an option.
    public convenience init(
        system: KVMSystem, options: KVMOptions = KVMOptions()
    ) throws(KVMError) {
        let vm = try system.makeVirtualMachine()
        try ReservedRanges.place(in: vm)
        var kernel = KVMCapabilities(of: vm)
        try kernel.switchOn(options.dirtyLog, of: vm)
        try kernel.keepOtherMappings(options.keepsOtherMappings, of: vm)
        let capabilities = try Capabilities(
            of: vm, kernel: kernel, options: options,
            reservedRanges: options.reservedRanges ?? ReservedRanges.ownVM)
        self.init(
            vm: vm, kernel: kernel, capabilities: capabilities, options: options, installed: [])
    }

    /// Takes over a VM that the VMM made, with the slots that are installed on it.
    ///
    /// The slots are checked against the VM without changing it: every id that is in use must be
    /// listed, with its place, size, userspace address and flags. What can't be seen from outside
    /// is believed: a guest_memfd's binding, and `log-dirty-pages` under a dirty ring.
    /// No vCPU has to be held out; nobody else may change slots meanwhile.
    ///
    /// - Parameters:
    ///   - vm: the VM.
    ///   - installed: every slot that is installed, in any order.
    ///   - options: the dirty log's mode in force, the ranges that KVM keeps for itself.
    /// - Throws: the first slot that isn't as listed, or a VM of another process.
    public convenience init(
        takingOver vm: VirtualMachine, installed: [Memslot], options: KVMOptions = KVMOptions()
    ) throws(KVMError) {
        let defaults = ReservedRanges.kernelDefault.filter { range in
            !installed.contains {
                $0.addressSpace == .main && $0.guestPhysicalAddress < range.upperBound
                    && range.lowerBound < $0.guestPhysicalEnd
            }
        }
        var kernel = KVMCapabilities(of: vm)
        kernel.dropsAllMappings = kernel.canKeepOtherMappings ? nil : kernel.dropsAllMappings
        let capabilities = try Capabilities(
            of: vm, kernel: kernel, options: options,
            reservedRanges: options.reservedRanges ?? defaults)
        try InstalledSlotCheck(
            vm: vm, capabilities: capabilities, kernel: kernel, mode: options.dirtyLog
        ).check(installed)
        // After the check: a VM that isn't as told stays as it is.
        try kernel.keepOtherMappings(options.keepsOtherMappings, of: vm)
        self.init(
            vm: vm, kernel: kernel, capabilities: capabilities, options: options,
            installed: installed)
    }

    private init(
        vm: VirtualMachine, kernel: KVMCapabilities, capabilities: Capabilities,
        options: KVMOptions, installed: [Memslot]
    ) {
        self.vm = vm
        self.kernel = kernel
        self.capabilities = capabilities
        self.dirtyLogMode = options.dirtyLog
        if case .ring(let bytes) = options.dirtyLog {
            self.rings = DirtyRingLog(
                vm: vm, kernel: kernel, bytes: bytes, installed: installed)
        } else {
            self.rings = nil
        }
        guestMemfds.withLock { for slot in installed { $0.installed(slot) } }
    }

    /// Carries one call out. Kernel: `KVM_SET_USER_MEMORY_REGION2`, or the old call where the
    /// kernel lacks it.
    public func apply(_ call: SlotCall) throws(Errno) {
        var words =
            call.after.map { RegionWords(installing: $0) }
            ?? RegionWords(deleting: call.before ?? Memslot.none)
        if case .create(let slot) = call, slot.flags.contains(.guestMemfd) {
            words.guestMemfd = guestMemfds.withLock { $0.descriptor(for: slot) }
        }
        if let rings {
            try rings.apply(call) { words.set(on: vm.descriptor, byRegion2: kernel.hasRegion2) }
        } else if let errno = words.set(on: vm.descriptor, byRegion2: kernel.hasRegion2) {
            throw errno
        }
        if call.hasGuestMemfd { guestMemfds.withLock { $0.carriedOut(call) } }
    }

    /// Reads a slot's log from the kernel's bitmap or from what the rings gave.
    public func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        if let rings { return try rings.read(slot, clear: clear) }
        return try KernelDirtyLog(vm: vm.descriptor, mode: dirtyLogMode)
            .read(slot, clear: clear)
    }

    /// Lets go of the guest_memfds of slots that earlier transactions deleted.
    public func beginTransaction() {
        guestMemfds.withLock { $0.forgetDeleted() }
    }

    /// Empties every vCPU's dirty ring. A failure is told by the reading that follows.
    public func collectDirtyPages() {
        try? rings?.drain()
    }

    /// What an errno of this backend means, and what to do about it.
    public func explanation(of errno: Errno) -> KVMError {
        vm.explanation(
            of: errno,
            from: "KVM_SET_USER_MEMORY_REGION" + (kernel.hasRegion2 ? "2" : ""))
    }
}

extension SlotCall {
    fileprivate var hasGuestMemfd: Bool {
        (before ?? after)?.flags.contains(.guestMemfd) ?? false
    }
}

extension Memslot {
    /// Stands where a call names no slot, which none does.
    fileprivate static let none = Memslot(
        guestPhysicalAddress: GuestPhysicalAddress(0), size: .zero,
        userspaceAddress: UserspaceAddress(0))
}
