import CKVM
package import Memslots

/// Memory of a guest: a memfd that can be mapped several times.
///
/// `@unchecked Sendable`: the guest writes at any time anyway; numbers are accessed atomically.
package final class GuestMemory: @unchecked Sendable {
    package let size: ByteCount
    package let descriptor: Int32
    /// The first mapping.
    package let base: UserspaceAddress

    /// Allocates memory of zeros.
    ///
    /// - Parameter size: bytes; a multiple of 4096, not 0.
    package init(size: ByteCount) throws(Errno) {
        self.size = size
        self.descriptor = try Self.value(ckvm_memfd_create("memslots-guest"))
        do throws(Errno) {
            _ = try Self.value(ckvm_truncate(descriptor, Int64(size.rawValue)))
            self.base = try Self.map(descriptor, size)
        } catch {
            _ = ckvm_close(descriptor)
            throw error
        }
    }

    /// Unmaps the first mapping alone; others stay until the process ends.
    deinit {
        _ = ckvm_unmap(UnsafeMutableRawPointer(bitPattern: UInt(base.rawValue)), Int(size.rawValue))
        _ = ckvm_close(descriptor)
    }

    /// Maps all of it at another address, until the process ends.
    package func mapAgain() throws(Errno) -> UserspaceAddress { try Self.map(descriptor, size) }

    /// The 32-bit number at `offset` bytes, a multiple of 4.
    package func load(_ offset: UInt64) -> UInt32 { ckvm_load32(pointer(offset, 4)) }

    /// Writes a 32-bit number at `offset` bytes, a multiple of 4.
    package func store(_ value: UInt32, _ offset: UInt64) {
        ckvm_store32(pointer(offset, 4), value)
    }

    /// Writes bytes at `offset`. Call while no guest uses them.
    package func write(_ bytes: [UInt8], at offset: UInt64) {
        // Unsafe: within the mapping, as `pointer` checks.
        pointer(offset, UInt64(bytes.count))
            .copyMemory(from: bytes, byteCount: bytes.count)
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
        _ = try value(ckvm_map(descriptor, Int(size.rawValue), 0, &mapped))
        return UserspaceAddress(UInt64(UInt(bitPattern: mapped)))
    }

    private static func value(_ result: Int32) throws(Errno) -> Int32 {
        guard result >= 0 else { throw Errno(rawValue: -result) }
        return result
    }
}
