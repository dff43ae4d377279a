import CKVM
import Memslots

/// One vCPU's dirty ring, as it is mapped.
///
/// The kernel promises to stop the vCPU while entries are free. Where it runs many emulated
/// instructions in one go it doesn't get to that, and writes over entries that nobody took
/// (seen with a real mode guest on a nested host). Such an overrun is noticed, since every entry
/// then waits to be taken; and the kernel's place in the ring is found again.
///
/// `@unchecked Sendable`: used only under the lock of ``DirtyRingLog``.
final class DirtyRing: @unchecked Sendable {
    /// The descriptor of the vCPU, for telling rings apart.
    let vcpu: Int32
    private let entries: UnsafeMutableRawPointer
    private let bytes: Int
    private let count: UInt32
    private var next: UInt32 = 0
    /// Whether the kernel's next entry is known to be ours.
    private var isInStep = true

    /// Maps the ring of the vCPU behind `vcpu`.
    init(vcpu: Int32, bytes: UInt32) throws(KVMError) {
        var mapped: UnsafeMutableRawPointer?
        let offset = ckvm_dirty_ring_page() * Int64(pageSize.rawValue)
        let result = ckvm_map(vcpu, Int(bytes), offset, &mapped)
        _ = try CallResult(result).value(of: "mmap of a vCPU's dirty ring")
        guard let mapped else {
            throw .callFailed(call: "mmap of a vCPU's dirty ring", errno: .badAddress)
        }
        self.vcpu = vcpu
        self.entries = mapped
        self.bytes = Int(bytes)
        self.count = bytes / ckvm_dirty_entry_size()
    }

    deinit { _ = ckvm_unmap(entries, bytes) }

    /// Takes every entry.
    ///
    /// - Returns: how many were handed back to the kernel, and whether entries may have been
    ///   written over before.
    func drain(
        _ body: (_ key: SlotKey, _ page: UInt64) -> Void
    ) -> (released: UInt32, isOverrun: Bool) {
        var released: UInt32 = 0
        // Not past a whole ring: the vCPU may write on, and the kernel counts no more as ours.
        while released < count {
            if let entry = take() {
                body(entry.key, entry.page)
                released += 1
            } else if let gap = gap(within: count - released) {
                // Entries of an overrun that were taken already, which the kernel still counts.
                for _ in 0..<gap { release() }
                released += gap
            } else {
                break
            }
        }
        // A vCPU writes no entry while a whole ring is counted as ours: whoever wrote one was
        // less than a ring ahead, and what lay between is handed back now.
        let isOverrun = released == count
        if isOverrun { isInStep = false } else if released > 0 { isInStep = true }
        return (released, isOverrun)
    }

    /// Hands one entry back that the kernel counts as ours, though none waits to be taken.
    ///
    /// Only for a ring out of step whose vCPU said that it is full, and is not in the guest.
    /// - Returns: whether there was cause to.
    func releaseOverrunEntry() -> Bool {
        guard !isInStep else { return false }
        release()
        return true
    }

    private func take() -> (key: SlotKey, page: UInt64)? {
        var slot: UInt32 = 0
        var page: UInt64 = 0
        // Unsafe: `next` is below `count`, which the mapping holds.
        guard ckvm_take_dirty_entry(entries, next, &slot, &page) == 1 else { return nil }
        advance()
        return (SlotKey(kernelWord: slot), page)
    }

    private func release() {
        ckvm_release_dirty_entry(entries, next)
        advance()
    }

    private func advance() { next = next + 1 == count ? 0 : next + 1 }

    /// How far from ours the first entry is that waits to be taken, in a ring out of step.
    private func gap(within end: UInt32) -> UInt32? {
        guard !isInStep else { return nil }
        var found = firstWaiting(before: end)
        // The vCPU may have written one where we had looked already; entries come in order, so
        // that a second look sees all that come before the one found.
        while let distance = found, let earlier = firstWaiting(before: distance) {
            found = earlier
        }
        return found
    }

    private func firstWaiting(before end: UInt32) -> UInt32? {
        (0..<end).first { ckvm_is_dirty_entry(entries, (next + $0) % count) == 1 }
    }
}
