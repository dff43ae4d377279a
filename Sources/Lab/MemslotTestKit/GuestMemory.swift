import CKVM
package import Memslots

/// What a guest's memory is made of.
package enum GuestMemoryKind: String, CaseIterable, Sendable {
    /// `hugetlb`: pages of 2 MiB that the host has reserved.
    case small, hugetlb
    /// Anonymous memory with `MADV_HUGEPAGE`, which has no descriptor and can't be mapped again.
    case thp
}

/// A memfd, which can be mapped several times. Unchecked: guests write anyway; numbers are atomic.
package final class GuestMemory: @unchecked Sendable {
    package let size: ByteCount
    package let descriptor: Int32
    /// The first mapping.
    package let base: UserspaceAddress

    /// Zeros. `size` is a multiple of 4096 bytes, or of 2 MiB in huge pages; not 0.
    package init(size: ByteCount, kind: GuestMemoryKind = .small) throws(Errno) {
        self.size = size
        let create = { ckvm_memfd_create("memslots-guest", kind == .hugetlb ? 1 : 0) }
        self.descriptor = kind == .thp ? -1 : try valueOfCall(create())
        do throws(Errno) {
            if descriptor >= 0, ftruncate(descriptor, Int(size.rawValue)) < 0 { throw .last }
            self.base = try Self.map(descriptor, size)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Unmaps the first mapping alone; others stay until the process ends.
    deinit {
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(base.rawValue)), Int(size.rawValue))
        close(descriptor)
    }

    /// Maps all of it at another address, until the process ends. Anonymous memory stays where it is.
    package func mapAgain() throws(Errno) -> UserspaceAddress {
        descriptor < 0 ? base : try Self.map(descriptor, size)
    }

    /// The KiB of the first mapping that are in huge pages, as the kernel counts them in `smaps`.
    package var hugeKiB: UInt64 {
        let start = String(base.rawValue, radix: 16) + "-"
        let names: Set<Substring> = ["AnonHugePages:", "Shared_Hugetlb:", "Private_Hugetlb:"]
        return (Files.text(of: "/proc/self/smaps") ?? "").split(separator: "\n")
            .drop { !$0.hasPrefix(start) }.prefix { !$0.hasPrefix("VmFlags:") }
            .map { $0.split(separator: " ") }
            .reduce(0) { names.contains($1[0]) ? $0 + (UInt64($1[1]) ?? 0) : $0 }
    }

    /// The 32-bit number at `offset` bytes, a multiple of 4.
    package func load(_ offset: UInt64) -> UInt32 { ckvm_load32(pointer(offset, 4)) }

    /// Writes a 32-bit number at `offset` bytes, a multiple of 4.
    package func store(_ value: UInt32, _ offset: UInt64) {
        ckvm_store32(pointer(offset, 4), value)
    }

    /// Writes bytes at `offset`. Call while no guest uses them.
    package func write(_ bytes: [UInt8], at offset: UInt64) {
        // Unsafe: within the mapping, as `pointer` checks.
        pointer(offset, UInt64(bytes.count)).copyMemory(from: bytes, byteCount: bytes.count)
    }

    /// Returns `count` bytes at `offset`. Call while no device writes them.
    package func read(_ count: Int, at offset: UInt64) -> [UInt8] {
        // Unsafe: within the mapping, as `pointer` checks.
        Array(UnsafeRawBufferPointer(start: pointer(offset, UInt64(count)), count: count))
    }

    private func pointer(_ offset: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer {
        precondition(
            offset <= size.rawValue && count <= size.rawValue - offset, "within the memory")
        // Unsafe: the address of a mapping that lives as long as this object.
        guard let start = UnsafeMutableRawPointer(bitPattern: UInt(base.rawValue + offset)) else {
            preconditionFailure("no mapping is at address 0")
        }
        return start
    }

    private static func map(
        _ descriptor: Int32, _ size: ByteCount
    ) throws(Errno) -> UserspaceAddress {
        var mapped: UnsafeMutableRawPointer?
        let bytes = Int(size.rawValue)
        _ = try valueOfCall(
            descriptor < 0
                ? ckvm_map_huge(bytes, &mapped) : ckvm_map(descriptor, bytes, 0, &mapped))
        return UserspaceAddress(UInt64(UInt(bitPattern: mapped)))
    }
}
