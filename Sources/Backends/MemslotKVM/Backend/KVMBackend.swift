import CKVM
public import Memslots
import Synchronization

/// Applies slot calls to a VM of the kernel.
///
/// Only the process that created the VM may change it. Another process gets `EIO`, which
/// ``explanation(of:)`` explains.
public final class KVMBackend: MemoryAttributeBackend {
    /// The VM.
    public let vm: VirtualMachine
    /// The limits that arrays are validated against.
    public let capabilities: Capabilities
    /// The VM's other capabilities.
    public let kernel: KVMCapabilities
    /// How the dirty log is kept.
    public let dirtyLogMode: DirtyLogMode

    let rings: DirtyRingLog?
    private let guestMemfds = Locked(BoundGuestMemfds())
    private let lastCallFailed = Atomic<Bool>(false)

    /// Creates a VM without slots.
    ///
    /// On x86, KVM's own pages are placed at ``ReservedRanges/ownVM``.
    ///
    /// - Parameters:
    ///   - system: the host.
    ///   - options: what to enable.
    /// - Throws: a failed call, or the capability that an option needs and the host lacks.
    public convenience init(
        system: KVMSystem, options: KVMOptions = KVMOptions()
    ) throws(KVMError) {
        let vm = try system.makeVirtualMachine()
        try ReservedRanges.place(in: vm)
        var kernel = KVMCapabilities(of: vm)
        try kernel.enable(options.dirtyLog, of: vm)
        try kernel.keepOtherMappings(options.keepsOtherMappings, of: vm)
        let capabilities = try Capabilities(
            of: vm, kernel: kernel, options: options,
            reservedRanges: options.reservedRanges ?? ReservedRanges.ownVM)
        self.init(
            vm: vm, kernel: kernel, capabilities: capabilities, options: options, installed: [])
    }

    /// Adopts a VM that the VMM created, with its installed slots.
    ///
    /// The list is checked against the VM, whose slots stay unchanged: every used id must be
    /// listed, with its address, size, userspace address and flags. Two facts cannot be checked and
    /// are trusted: the binding to a guest_memfd, and `log-dirty-pages` with a dirty ring. vCPUs may
    /// run meanwhile; no other thread may change slots.
    ///
    /// - Parameters:
    ///   - vm: the VM.
    ///   - installed: all installed slots, in any order. Pass the same list to
    ///     `MemslotTable(backend:installed:)`: a table that does not get it treats the VM as empty.
    ///   - options: the mode of the dirty log in force, and the ranges that KVM reserves.
    /// - Throws: the first slot that is not as listed, that the VM is another process's, or that it has
    ///   dirty rings and the options do not, or the reverse.
    public convenience init(
        adopting vm: VirtualMachine, installed: [Memslot], options: KVMOptions = KVMOptions()
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
        // After the check, so that a VM that differs from the list stays unchanged.
        try kernel.confirm(options.dirtyLog, of: vm)
        try kernel.keepOtherMappings(options.keepsOtherMappings, of: vm)
        self.init(
            vm: vm, kernel: kernel, capabilities: capabilities, options: options,
            installed: installed)
    }

    private init(
        vm: VirtualMachine, kernel: KVMCapabilities, capabilities: Capabilities,
        options: KVMOptions, installed: [Memslot]
    ) {
        (self.vm, self.kernel, self.capabilities) = (vm, kernel, capabilities)
        self.dirtyLogMode = options.dirtyLog
        if case .ring(let bytes) = options.dirtyLog {
            self.rings = DirtyRingLog(
                vm: vm, kernel: kernel, capabilities: capabilities, bytes: bytes,
                installed: installed)
        } else {
            self.rings = nil
        }
        guestMemfds.withLock { for slot in installed { $0.insert(slot) } }
    }

    /// Applies one call. Kernel: `KVM_SET_USER_MEMORY_REGION2`, or the older call if the kernel
    /// lacks it.
    public func apply(_ call: SlotCall) throws(Errno) {
        var words: RegionWords
        switch call {
        case .create(let slot), .move(_, let slot), .reflag(_, let slot):
            words = RegionWords(installing: slot)
        case .delete(let slot): words = RegionWords(deleting: slot)
        }
        if case .create(let slot) = call, slot.flags.contains(.guestMemfd) {
            let file = guestMemfds.withLock { $0.descriptor(for: slot) }
            words.guest_memfd = UInt32(bitPattern: file)
        }
        lastCallFailed.store(true, ordering: .relaxed)
        if let rings {
            try rings.apply(call) { words.apply(to: vm.descriptor, byRegion2: kernel.hasRegion2) }
        } else if let errno = words.apply(to: vm.descriptor, byRegion2: kernel.hasRegion2) {
            throw errno
        }
        lastCallFailed.store(false, ordering: .relaxed)
        if (call.before ?? call.after)?.flags.contains(.guestMemfd) == true {
            guestMemfds.withLock { $0.update(after: call) }
        }
    }

    /// Makes a range private, or shared. Kernel: `KVM_SET_MEMORY_ATTRIBUTES`.
    public func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        lastCallFailed.store(true, ordering: .relaxed)
        var words = ckvm_memory_attributes(
            address: range.address.rawValue, size: range.size.rawValue,
            attributes: isPrivate ? CKVM_MEMORY_ATTRIBUTE_PRIVATE : 0, flags: 0)
        _ = try valueOfCall(ckvm_set_memory_attributes(vm.descriptor, &words))
        lastCallFailed.store(false, ordering: .relaxed)
    }

    /// Reads a slot's log from the kernel's bitmap, or from the pages that the rings reported.
    public func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        if let rings { return try rings.read(slot, clear: clear) }
        return try KernelDirtyLog(
            vm: vm.descriptor, mode: dirtyLogMode, pageSize: capabilities.pageSize
        ).read(slot, clear: clear)
    }

    /// Releases the guest_memfds of slots that earlier transactions deleted. A transaction whose undo
    /// failed needs them in its recovery.
    public func beginTransaction() {
        if !lastCallFailed.load(ordering: .relaxed) { guestMemfds.withLock { $0.removeDeleted() } }
    }

    /// Empties every vCPU's dirty ring. If that fails, the reading that follows throws the errno.
    public func collectDirtyPages() { try? rings?.collect() }

    /// What an errno of this backend means, and what to do about it.
    public func explanation(of errno: Errno) -> KVMError {
        vm.explanation(
            of: errno, from: "KVM_SET_USER_MEMORY_REGION" + (kernel.hasRegion2 ? "2" : ""))
    }
}

/// A second descriptor of each guest_memfd that slots are bound to: one, however many slots they are.
///
/// Undoing a deletion needs the file, and the VMM may have closed its own descriptor meanwhile. The
/// kernel's slot holds no reference: without a descriptor the file's memory would be freed.
private struct BoundGuestMemfds {
    private struct Bound {
        let slot: Memslot
        let file: OwnedDescriptor
    }

    private struct Weak { weak var file: OwnedDescriptor? }

    private var installed: [SlotKey: Bound] = [:]
    private var deleted: [SlotKey: Bound] = [:]
    /// By the descriptor that slots name, which may be another file's by now.
    private var files: [Int32: Weak] = [:]

    /// The descriptor to bind `slot` to: of the file that it had when this transaction deleted it,
    /// otherwise the descriptor that it names.
    func descriptor(for slot: Memslot) -> Int32 {
        if let bound = deleted[slot.assignedKey], bound.slot == slot { return bound.file.number }
        return slot.guestMemfd?.descriptor ?? -1
    }

    /// Adds an installed slot. If no descriptor is free, an undo must use the VMM's own.
    mutating func insert(_ slot: Memslot) {
        guard let named = slot.guestMemfd?.descriptor, named >= 0,
            let file = copy(of: descriptor(for: slot), named: named)
        else { return }
        installed[slot.assignedKey] = Bound(slot: slot, file: file)
        deleted[slot.assignedKey] = nil
    }

    private mutating func copy(of number: Int32, named: Int32) -> OwnedDescriptor? {
        if let file = files[named]?.file, ckvm_is_same_file(file.number, number) == 1 {
            return file
        }
        guard let copy = try? duplicate(number) else { return nil }
        let file = OwnedDescriptor(adopting: copy)
        files[named] = Weak(file: file)
        return file
    }

    mutating func update(after call: SlotCall) {
        switch call {
        case .create(let slot): insert(slot)
        case .delete(let slot):
            deleted[slot.assignedKey] = installed.removeValue(forKey: slot.assignedKey)
        case .move, .reflag: break
        }
    }

    /// Closes the files that were kept for an undo.
    mutating func removeDeleted() {
        deleted.removeAll()
        files = files.filter { $0.value.file != nil }
    }
}
