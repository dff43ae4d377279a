import CKVM
import Memslots

/// The mapped dirty ring of one vCPU.
///
/// The kernel is documented to stop the vCPU before the ring is full. While it runs many emulated
/// instructions at once it does not, and overwrites entries that were not collected (observed with a
/// real-mode guest on a nested host). Every entry is dirty after such an overrun, which reveals it;
/// then the kernel's position in the ring is searched.
final class DirtyRing {
    /// The descriptor with which the vCPU was registered last.
    var vcpu: Int32
    /// Its file, which identifies the ring: the VMM may close its own descriptor.
    private let file: OwnedDescriptor
    private let entries: UnsafeMutableRawPointer
    private let bytes: Int
    private let count: UInt32
    private var next: UInt32 = 0
    /// Whether the kernel's next entry is known to be at `next`.
    private var isInStep = true
    /// Whether `next` is known: a vCPU may have run before its ring is mapped.
    private var isPlaced = false

    /// Maps the ring of the vCPU behind `vcpu`.
    ///
    /// The kernel maps any size, and raises `SIGBUS` where it has no ring. In a ring that is larger than
    /// declared dirty pages would be lost.
    init(vcpu: Int32, bytes: UInt32) throws(KVMError) {
        var mapped: UnsafeMutableRawPointer?
        let pageSize = Int(ckvm_page_size())
        let offset = ckvm_dirty_ring_page() * Int64(pageSize)
        // The page after the ring too, which must not be there.
        let mappedBytes = Int(bytes) + pageSize
        let result = ckvm_map(vcpu, mappedBytes, offset, &mapped)
        try checkCall("mmap of a vCPU's dirty ring", result)
        guard let mapped else {
            throw .callFailed(call: "mmap of a vCPU's dirty ring", errno: .badAddress)
        }
        guard bytes >= 8, ckvm_is_readable(mapped + Int(bytes) - 8) == 1,
            ckvm_is_readable(mapped + Int(bytes)) == 0
        else {
            munmap(mapped, mappedBytes)
            throw .dirtyLogDiffers(.ring(bytes: bytes))
        }
        self.vcpu = vcpu
        self.file = OwnedDescriptor(adopting: (try? duplicate(vcpu)) ?? -1)
        (self.entries, self.bytes) = (mapped, mappedBytes)
        self.count = bytes / ckvm_dirty_entry_size()
    }

    func belongs(to vcpu: Int32) -> Bool { ckvm_is_same_file(file.number, vcpu) == 1 }

    deinit { munmap(entries, bytes) }

    /// Collects every dirty entry and passes it to `body`.
    ///
    /// - Returns: how many entries were returned to the kernel, and whether entries may have been
    ///   overwritten before.
    func collect(
        _ body: (_ key: SlotKey, _ page: UInt64) -> Void
    ) -> (released: UInt32, isOverrun: Bool) {
        var released: UInt32 = 0
        if !isPlaced { place() }
        // At most a whole ring: the vCPU may go on writing, and the kernel expects no more back.
        while released < count {
            if let entry = collectEntry() {
                body(entry.key, entry.page)
                released += 1
            } else if let gap = gap(within: count - released) {
                // The kernel still expects these entries back, which were collected in an overrun.
                for _ in 0..<gap { release() }
                released += gap
            } else {
                break
            }
        }
        // A vCPU writes no entry while the kernel expects a whole ring back. One that wrote an entry
        // was less than a ring ahead, and the entries between are returned now.
        let isOverrun = released == count
        if isOverrun { isInStep = false } else if released > 0 { isInStep = true }
        return (released, isOverrun)
    }

    /// Returns one entry to the kernel although none is dirty, if the ring is out of step.
    ///
    /// Only after the vCPU left the guest because its ring is full.
    /// - Returns: whether an entry was returned.
    func releaseOverrunEntry() -> Bool {
        guard !isInStep else { return false }
        release()
        return true
    }

    /// Finds the entry that the vCPU wrote first: a dirty one after one that is not.
    private func place() {
        // The entry before is read later, and was written earlier: if it is clean now, it was.
        let first = (0..<count).first { isDirty($0) && !isDirty(($0 + count - 1) % count) }
        // Without such an entry, all are dirty or none is.
        (next, isPlaced) = (first ?? 0, first != nil || isDirty(0))
    }

    private func isDirty(_ index: UInt32) -> Bool { ckvm_is_dirty_entry(entries, index) == 1 }

    private func collectEntry() -> (key: SlotKey, page: UInt64)? {
        var slot: UInt32 = 0
        var page: UInt64 = 0
        // Unsafe: `next` is below `count`, which the mapping holds.
        guard ckvm_collect_dirty_entry(entries, next, &slot, &page) == 1 else { return nil }
        advance()
        return (SlotKey(kernelWord: slot), page)
    }

    private func release() {
        ckvm_release_dirty_entry(entries, next)
        advance()
    }

    private func advance() { next = next + 1 == count ? 0 : next + 1 }

    /// The distance from `next` to the first dirty entry, in a ring out of step.
    private func gap(within end: UInt32) -> UInt32? {
        guard !isInStep else { return nil }
        var found = firstDirty(before: end)
        // The vCPU may have written an entry behind the search. Entries are written in order, so a
        // second search finds all that precede the one found.
        while let distance = found, let earlier = firstDirty(before: distance) { found = earlier }
        return found
    }

    private func firstDirty(before end: UInt32) -> UInt32? {
        (0..<end).first { isDirty((next + $0) % count) }
    }
}
