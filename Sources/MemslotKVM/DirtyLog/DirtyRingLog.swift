import CKVM
import Memslots
import Synchronization

/// The dirty log of a VM with dirty rings: bitmaps kept here, filled from the vCPUs' rings.
///
/// An entry names a slot id and a page of the slot, so it must be taken before the id changes its
/// meaning. Any thread may drain: a vCPU's whose ring is full, and the one of a transaction.
final class DirtyRingLog: Sendable {
    private let vm: VirtualMachine
    private let bytes: UInt32
    private let state: Mutex<State>

    private struct State {
        var rings: [DirtyRing] = []
        var bitmaps: [SlotKey: DirtyBitmap] = [:]
        /// Entries were taken whose pages the kernel was not yet told to watch again.
        var needsReset = false
    }

    init(vm: VirtualMachine, bytes: UInt32, installed: [Memslot]) {
        self.vm = vm
        self.bytes = bytes
        var state = State()
        for slot in installed where slot.isLogging {
            state.bitmaps[slot.key] = DirtyBitmap(pageCount: slot.pageCount)
        }
        self.state = Mutex(state)
    }

    /// Adds the ring of a vCPU, which stays mapped as long as this object lives: what a vCPU
    /// wrote before it was closed is not lost.
    func add(vcpu descriptor: Int32) throws(KVMError) {
        let ring = try DirtyRing(vcpu: descriptor, bytes: bytes)
        state.withLock { $0.rings.append(ring) }
    }

    /// Empties all rings into the bitmaps of the slots that are installed now.
    ///
    /// - Throws: the errno of `KVM_RESET_DIRTY_RINGS`; the bits are kept, but pages taken are
    ///   not watched again until a later call succeeds.
    func drain() throws(Errno) {
        try state.withLock { (state) throws(Errno) in try drain(&state) }
    }

    /// The bits of `slot`, with what the rings still hold.
    func read(_ slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try state.withLock { (state) throws(Errno) in
            try drain(&state)
            guard let bitmap = state.bitmaps[slot.key], bitmap.pageCount == slot.pageCount else {
                throw .noEntry
            }
            if clear { state.bitmaps[slot.key] = DirtyBitmap(pageCount: slot.pageCount) }
            return bitmap
        }
    }

    /// Follows a call, as the kernel's own bitmaps do: kept by a move, begun anew with a slot's
    /// logging.
    func carriedOut(_ call: SlotCall) {
        let logged = call.before?.isLogging ?? false
        let logs = call.after?.isLogging ?? false
        guard logged != logs else { return }
        state.withLock {
            $0.bitmaps[call.key] =
                logs ? call.after.map { DirtyBitmap(pageCount: $0.pageCount) } : nil
        }
    }

    private func drain(_ state: inout State) throws(Errno) {
        for ring in state.rings {
            while let entry = ring.take() {
                state.needsReset = true
                state.bitmaps[entry.key]?.insertIfInside(entry.page)
            }
        }
        guard state.needsReset else { return }
        _ = try CallResult(ckvm_reset_dirty_rings(vm.descriptor)).value()
        state.needsReset = false
    }
}

extension DirtyBitmap {
    fileprivate mutating func insertIfInside(_ page: UInt64) {
        if page < pageCount { insert(page..<page + 1) }
    }
}
