internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Memory that slots name instead of an address: made once, mapped once, for one VM.
final class MemoryObject: Sendable {
    /// What it is to the core.
    let id: MemoryObjectID
    let name: String
    let size: ByteCount
    let pageSize: ByteCount
    let kind: Kind

    enum Kind: Sendable {
        /// A file that is mapped here.
        case mapped(descriptor: Int32, at: UserspaceAddress, backing: MemoryBacking)
        /// A simulator's guest_memfd.
        case guestMemfd(handle: Int32)
    }

    init(id: MemoryObjectID, name: String, size: ByteCount, pageSize: ByteCount, kind: Kind) {
        self.id = id
        self.name = name
        self.size = size
        self.pageSize = pageSize
        self.kind = kind
    }

    /// Makes a file of `size` bytes that can't change its size, and maps it.
    ///
    /// - Throws: the errno of the call that failed; nothing is left behind.
    static func make(
        _ backing: MemoryBacking, id: MemoryObjectID, name: String, size: ByteCount
    ) throws(Errno) -> MemoryObject {
        let isHuge = backing == .hugetlb
        let descriptor = clinux_memfd("memslots", isHuge ? 1 : 0)
        guard descriptor >= 0 else { throw Errno(rawValue: -descriptor) }
        do throws(Errno) {
            guard let length = Int(exactly: size.rawValue), ftruncate(descriptor, length) == 0
            else { throw Errno(rawValue: errno) }
            let status = clinux_seal_size(descriptor)
            guard status == 0 else { throw Errno(rawValue: -status) }
            let address = try map(descriptor, length)
            return MemoryObject(
                id: id, name: name, size: size,
                pageSize: pageSize(of: descriptor),
                kind: .mapped(descriptor: descriptor, at: address, backing: backing))
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit {
        guard case .mapped(let descriptor, let address, _) = kind else { return }
        // The mapping was made here and no slot names it any more.
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(address.rawValue)), Int(size.rawValue))
        close(descriptor)
    }

    private static func map(_ descriptor: Int32, _ length: Int) throws(Errno) -> UserspaceAddress {
        // Reserves nothing: guest memory is taken page by page as it is touched.
        let pointer = mmap(
            nil, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0)
        guard let pointer, pointer != MAP_FAILED else { throw Errno(rawValue: errno) }
        return UserspaceAddress(UInt64(UInt(bitPattern: pointer)))
    }

    /// The block size of a memfd is the size of its pages, huge ones too.
    private static func pageSize(of descriptor: Int32) -> ByteCount {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return Memslots.pageSize }
        return ByteCount(UInt64(max(status.st_blksize, 4_096)))
    }
}
