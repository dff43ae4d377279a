import CKVM
import Memslots

/// The dirty log of a VM with dirty rings: bitmaps in user space, filled from the vCPUs' rings.
///
/// An entry names a slot id and a page of the slot, so it must be collected before the id changes
/// its meaning. Any thread may empty the rings: that of a vCPU whose ring is full, and that of a
/// transaction.
final class DirtyRingLog: Sendable {
    private let vm: VirtualMachine
    private let kernel: KVMCapabilities
    private let capabilities: Capabilities
    private let bytes: UInt32
    private let state: Locked<State>

    private struct Log {
        let slot: Memslot
        var bitmap: DirtyBitmap
        /// The kernel no longer reports some pages: every reading must report all pages dirty.
        var mustRearm = false
    }

    private struct State {
        var rings: [DirtyRing] = []
        var logs: [SlotKey: Log] = [:]
        /// Entries were returned, and `KVM_RESET_DIRTY_RINGS` has not succeeded since.
        var needsReset = false
    }

    init(
        vm: VirtualMachine, kernel: KVMCapabilities, capabilities: Capabilities, bytes: UInt32,
        installed: [Memslot]
    ) {
        (self.vm, self.kernel, self.capabilities, self.bytes) = (vm, kernel, capabilities, bytes)
        var state = State()
        for slot in installed where slot.isLogging {
            state.logs[slot.assignedKey] = Log(
                slot: slot, bitmap: DirtyBitmap(pageCount: capabilities.pageCount(of: slot)))
        }
        self.state = Locked(state)
    }

    /// Adds the ring of a vCPU. It stays mapped as long as this object lives, so that no entry of a
    /// closed vCPU is lost: a vCPU that is added again has the same ring.
    func add(vcpu: Int32) throws(KVMError) {
        try state.withLock { (state) throws(KVMError) in
            if let ring = state.rings.first(where: { $0.belongs(to: vcpu) }) {
                ring.vcpu = vcpu
            } else {
                state.rings.append(try DirtyRing(vcpu: vcpu, bytes: bytes))
            }
        }
    }

    /// Empties all rings into the bitmaps of the installed slots.
    ///
    /// - Parameter full: the vCPU that left because its ring is full.
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`. No bit is lost, but the kernel does not track
    ///   the collected pages again until a later call succeeds.
    func collect(full: Int32? = nil) throws(Errno) {
        try state.withLock { (state) throws(Errno) in try collect(&state, full: full) }
    }

    /// The bits of `slot`, including those still in the rings.
    func read(_ slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try state.withLock { (state) throws(Errno) in
            try collect(&state)
            guard let log = state.logs[slot.assignedKey], log.slot.size == slot.size else {
                throw .noEntry
            }
            let pageCount = log.bitmap.pageCount
            if log.mustRearm { return .full(pageCount: pageCount) }
            if clear { state.logs[slot.assignedKey]?.bitmap = DirtyBitmap(pageCount: pageCount) }
            return log.bitmap
        }
    }

    /// Applies a call by `body`, and treats the log as the kernel treats its bitmaps: a move keeps
    /// it, and a slot that starts to log starts with an empty one.
    func apply(_ call: SlotCall, by body: () -> Errno?) throws(Errno) {
        try state.withLock { (state) throws(Errno) in
            // The entries name the slot as it is before the call.
            if call.needsQuiescence { try collect(&state) }
            if let errno = body() { throw errno }
            let old = state.logs.removeValue(forKey: call.key)
            guard let slot = call.after, slot.isLogging else { return }
            let bitmap = old?.bitmap ?? DirtyBitmap(pageCount: capabilities.pageCount(of: slot))
            state.logs[slot.assignedKey] = Log(
                slot: slot, bitmap: bitmap, mustRearm: old?.mustRearm ?? false)
        }
    }

    private func collect(_ state: inout State, full: Int32? = nil) throws(Errno) {
        var isOverrun = false
        for ring in state.rings {
            let collected = ring.collect { key, page in
                state.logs[key]?.bitmap.insertIfInside(page)
            }
            isOverrun = isOverrun || collected.isOverrun
            if collected.released > 0 { state.needsReset = true }
            if collected.released == 0, ring.vcpu == full, ring.releaseOverrunEntry() {
                state.needsReset = true
            }
        }
        if isOverrun { for key in state.logs.keys { state.logs[key]?.mustRearm = true } }
        try reset(&state)
        rearm(&state)
    }

    private func reset(_ state: inout State) throws(Errno) {
        guard state.needsReset else { return }
        while let errno = failure(of: ckvm_reset_dirty_rings(vm.descriptor)) {
            // Since Linux 6.16 a signal interrupts the call; it has been handled by now.
            guard errno.rawValue == EINTR else { throw errno }
        }
        state.needsReset = false
    }

    /// After an overrun it is unknown which pages the kernel no longer tracks. Switching logging off
    /// and on makes it track them all; "all pages" includes those written meanwhile.
    private func rearm(_ state: inout State) {
        for (key, log) in state.logs where log.mustRearm {
            var words = RegionWords(installing: log.slot)
            words.flags &= ~MemslotFlags.logDirtyPages.rawValue
            guard words.apply(to: vm.descriptor, byRegion2: kernel.hasRegion2) == nil else {
                continue
            }
            words.flags = log.slot.flags.rawValue
            guard words.apply(to: vm.descriptor, byRegion2: kernel.hasRegion2) == nil else {
                continue
            }
            state.logs[key] = Log(slot: log.slot, bitmap: .full(pageCount: log.bitmap.pageCount))
        }
    }
}

extension DirtyBitmap {
    mutating func insertIfInside(_ page: UInt64) { if page < pageCount { insert(page..<page + 1) } }
}
