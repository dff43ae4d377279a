internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Memory that slots name instead of an address: mapped once, for one VM, until nobody uses it.
///
/// Whoever answers from an array that names the object keeps it too, so that it is unmapped only
/// after the last of them.
final class MemoryObject: Sendable {
    /// What it is to the core.
    let id: MemoryObjectID
    let name: String
    let size: ByteCount
    let pageSize: ByteCount
    let kind: Kind
    /// What becomes of it when this process ends; `nil` for one that goes too.
    let place: MemoryPlace?
    private let reservation: MemoryReservation

    enum Kind: Sendable {
        /// A file that is mapped here.
        case mapped(MappedFile)
        /// A simulator's guest_memfd.
        case guestMemfd(handle: Int32)
    }

    init(
        id: MemoryObjectID, name: String, size: ByteCount, pageSize: ByteCount, kind: Kind,
        reservation: MemoryReservation, place: MemoryPlace? = nil
    ) {
        self.place = place
        self.id = id
        self.name = name
        self.size = size
        self.pageSize = pageSize
        self.kind = kind
        self.reservation = reservation
    }
}

/// A memory file, mapped; unmapped and closed with this.
final class MappedFile: Sendable {
    let address: UserspaceAddress
    /// Bytes of a page of the file.
    let pageSize: ByteCount
    private let size: Int
    private let descriptor: Int32

    /// Maps the first `size` bytes of `descriptor`, which it takes over if it succeeds.
    ///
    /// - Throws: the errno of `mmap`.
    init(descriptor: Int32, size: ByteCount, pageSize: ByteCount) throws(Errno) {
        guard let length = Int(exactly: size.rawValue) else { throw .outOfMemory }
        // Reserves nothing: guest memory is taken page by page as it is touched.
        let pointer = mmap(
            nil, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0)
        guard let pointer, pointer != MAP_FAILED else { throw Errno(rawValue: errno) }
        address = UserspaceAddress(UInt64(UInt(bitPattern: pointer)))
        self.size = length
        self.pageSize = pageSize
        self.descriptor = descriptor
    }

    deinit {
        // The mapping was made here and no slot names it any more.
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(address.rawValue)), size)
        close(descriptor)
    }

    /// A descriptor of the file that the caller closes.
    ///
    /// - Throws: the errno of the call.
    func exported() throws(Errno) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw Errno(rawValue: errno) }
        return copy
    }
}
