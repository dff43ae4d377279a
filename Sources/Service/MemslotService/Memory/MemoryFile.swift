internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Memory files that may back a guest, created here or passed by a client.
enum MemoryFile {
    /// Creates a file of `size` bytes, sealed so that its size can't change, and maps it. Throws
    /// `invalid-params` for a size that is no multiple of the page size, `backend-unavailable` if
    /// the host refuses. Nothing remains then.
    static func make(
        _ backing: MemoryBacking, size: ByteCount
    ) throws(ProtocolError) -> MappedFile {
        func unavailable(_ error: Errno) -> ProtocolError { .unavailable(backing, size, error) }
        let file = OwnedDescriptor(
            adopting: try converting(
                unavailable, valueOfCall(clinux_memfd("memslots", backing == .hugetlb ? 1 : 0))))
        let pageSize = status(of: file.number)?.pageSize ?? Memslots.pageSize
        try check(size, pageSize)
        guard let length = Int(exactly: size.rawValue), ftruncate(file.number, length) == 0
        else { throw unavailable(.last) }
        _ = try converting(unavailable, valueOfCall(clinux_seal_size(file.number)))
        return try converting(unavailable, MappedFile(file, size: size, pageSize: pageSize))
    }

    /// Adopts a client's file, if the client can't shrink it under the guest. It must be the file
    /// of `user`; root may pass any user's. A negative number is a file that its receiver refused.
    /// `size` is how many bytes to use; `nil` for all. Throws `invalid-params` with the reason.
    static func adopt(
        _ descriptor: Int32, size: ByteCount?, user: UInt32
    ) throws(ProtocolError) -> MappedFile {
        let file = OwnedDescriptor(adopting: descriptor)
        // Seals first: a file without them may belong to a file system that hangs.
        let seals = descriptor == CLINUX_NOT_SEALED ? 0 : clinux_seals(descriptor)
        guard seals >= 0 else { throw .refusedDescriptor("it is not a memfd") }
        guard seals & clinux_seal_shrink() != 0 else {
            throw .refusedDescriptor(
                "the memfd is not sealed against shrinking (fcntl F_ADD_SEALS, F_SEAL_SHRINK)")
        }
        guard let status = status(of: descriptor), status.isRegular else {
            throw .refusedDescriptor("it is not a memfd")
        }
        guard status.owner == user || user == 0 else {
            throw .refusedDescriptor("the memfd belongs to another user")
        }
        if let size, size > status.size {
            throw .invalid("size", "the memfd has \(status.size) bytes, not \(size)")
        }
        let size = size ?? status.size
        try check(size, status.pageSize)
        return try converting(
            { (error: Errno) in
                ProtocolError.refusedDescriptor("it can't be mapped to read and write (\(error))")
            }, MappedFile(file, size: size, pageSize: status.pageSize))
    }

    /// Returns the size of a memory file that can't shrink; `nil` for any other descriptor.
    static func sealedSize(of descriptor: Int32) -> Int? {
        let seals = clinux_seals(descriptor)
        guard seals >= 0, seals & clinux_seal_shrink() != 0 else { return nil }
        return status(of: descriptor).flatMap { Int(exactly: $0.size.rawValue) }
    }

    private static func check(_ size: ByteCount, _ pageSize: ByteCount) throws(ProtocolError) {
        guard size != .zero, size.rawValue % pageSize.rawValue == 0 else {
            throw .invalid("size", "\(size) is not a multiple of \(pageSize.rawValue) above 0")
        }
    }

    private struct Status {
        let isRegular: Bool
        let owner: UInt32
        let size: ByteCount
        /// The block size of a memfd is the size of its pages, huge ones too.
        let pageSize: ByteCount
    }

    private static func status(of descriptor: Int32) -> Status? {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        return Status(
            isRegular: status.st_mode & S_IFMT == S_IFREG, owner: status.st_uid,
            size: ByteCount(UInt64(max(status.st_size, 0))),
            pageSize: ByteCount(UInt64(max(status.st_blksize, 4_096))))
    }
}

extension ProtocolError {
    fileprivate static func refusedDescriptor(_ reason: String) -> ProtocolError {
        ProtocolError(
            ErrorData(.invalidParams, path: "fd", reason: reason), message: "fd: \(reason)")
    }

    static func unavailable(
        _ backing: MemoryBacking, _ size: ByteCount, _ errno: Errno
    ) -> ProtocolError {
        ProtocolError(
            ErrorData(.backendUnavailable, errno: errno),
            message: "this host can't provide \(backing.rawValue) memory of \(size) bytes: \(errno)"
        )
    }
}
