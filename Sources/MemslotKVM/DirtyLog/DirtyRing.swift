import CKVM
import Memslots

/// One vCPU's dirty ring, as it is mapped.
///
/// `@unchecked Sendable`: entries are taken only under the lock of ``DirtyRingLog``.
final class DirtyRing: @unchecked Sendable {
    private let entries: UnsafeMutableRawPointer
    private let bytes: Int
    private let count: UInt32
    private var next: UInt32 = 0

    /// Maps the ring of the vCPU behind `descriptor`.
    init(vcpu descriptor: Int32, bytes: UInt32) throws(KVMError) {
        var mapped: UnsafeMutableRawPointer?
        let offset = ckvm_dirty_ring_page() * Int64(pageSize.rawValue)
        let result = ckvm_map(descriptor, Int(bytes), offset, &mapped)
        _ = try CallResult(result).value(of: "mmap of a vCPU's dirty ring")
        guard let mapped else {
            throw .callFailed(call: "mmap of a vCPU's dirty ring", errno: .badAddress)
        }
        self.entries = mapped
        self.bytes = Int(bytes)
        self.count = bytes / ckvm_dirty_entry_size()
    }

    deinit { _ = ckvm_unmap(entries, bytes) }

    /// Takes the oldest entry, if there is one.
    func take() -> (key: SlotKey, page: UInt64)? {
        var slot: UInt32 = 0
        var page: UInt64 = 0
        // Unsafe: `next` is below `count`, which the mapping holds.
        guard ckvm_take_dirty_entry(entries, next, &slot, &page) == 1 else { return nil }
        next = next + 1 == count ? 0 : next + 1
        return (SlotKey(kernelWord: slot), page)
    }
}
