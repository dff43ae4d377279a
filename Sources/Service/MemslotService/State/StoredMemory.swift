internal import Glibc
internal import MemslotProtocol
public import Memslots

/// Holds open descriptors for the next process, however this one ends, as systemd's descriptor store
/// does.
///
/// All requirements are called from any thread.
public protocol DescriptorStore: Sendable {
    /// Returns the descriptor of this name that the process before this one stored, and transfers it
    /// to the caller; `nil` if there is none, or at the second call.
    func claim(_ name: String) -> Int32?

    /// The names of the descriptors of the process before this one that were not claimed.
    var unclaimed: [String] { get }

    /// Stores a copy of `descriptor`, which stays the caller's.
    ///
    /// - Throws: `ENOSPC` if the store is full, or the errno of the call that failed.
    func store(_ descriptor: Int32, as name: String) throws(Errno)

    /// Removes the descriptor of this name from the store, if it is there.
    func remove(_ name: String)
}

extension StoredVM {
    /// Returns where a new memory object of the VM is stored. Throws the refusal if it can't be
    /// stored: a restart would lose it, and the VM with it.
    func place(for memory: MemoryCreateParameters) throws(ProtocolError) -> MemoryPlace {
        switch memory.source {
        case .made(.guestMemfd): return memory.isShared ? .sharedGuestMemfd : .guestMemfd
        case _ where store.descriptors != nil: return .descriptor
        case .made(.memfd): return .file
        case .made(.hugetlb): throw .unstorable("backing", .backendUnavailable, "huge pages")
        case .passed: throw .unstorable("fd", .invalidParams, "a passed descriptor")
        }
    }

    func makeFile(_ id: MemoryObjectID, size: ByteCount) throws(Errno) -> MappedFile {
        let name = StateNames.memory(id.rawValue, of: number)
        let file = OwnedDescriptor(
            adopting: try store.directory.openFile(name, O_RDWR | O_CREAT | O_EXCL).descriptor)
        do throws(Errno) {
            guard let length = Int(exactly: size.rawValue) else { throw .outOfMemory }
            guard ftruncate(file.number, length) == 0 else { throw .last }
            return try MappedFile(file, size: size, pageSize: Memslots.pageSize)
        } catch {
            store.remove(name)
            throw error
        }
    }

    func storeDescriptor(_ id: MemoryObjectID, _ file: MappedFile) throws(Errno) {
        let copy = try file.exported()
        defer { close(copy) }
        try store.descriptors?.store(copy, as: StateNames.memory(id.rawValue, of: number))
    }

    func drop(_ id: MemoryObjectID, _ place: MemoryPlace?) { store.drop(id, of: number, place) }
}

extension StateStore {
    /// Removes the stored memory object `id` of the VM `number`.
    func drop(_ id: MemoryObjectID, of number: UInt64, _ place: MemoryPlace?) {
        let name = StateNames.memory(id.rawValue, of: number)
        switch place {
        case .file: remove(name)
        case .descriptor: descriptors?.remove(name)
        case .guestMemfd, .sharedGuestMemfd, nil: break
        }
    }

    /// Maps what is stored of a memory object. Throws the reason why it can't be restored.
    func restore(_ memory: StoredMemory, of number: UInt64) throws(ProtocolError) -> MappedFile {
        let name = StateNames.memory(memory.id.rawValue, of: number)
        let file: OwnedDescriptor
        let size: Int
        switch memory.place {
        case .descriptor:
            guard let descriptor = descriptors?.claim(name) else {
                throw Self.unrestorable("the descriptor store has no memory \"\(memory.name)\"")
            }
            file = OwnedDescriptor(adopting: descriptor)
            size = MemoryFile.sealedSize(of: descriptor) ?? -1
        case .file, .guestMemfd, .sharedGuestMemfd:
            let opened = try converting(
                { (error: Errno) in
                    Self.unrestorable("the file \(name) of memory \"\(memory.name)\": \(error)")
                }, directory.openFile(name, O_RDWR))
            (file, size) = (OwnedDescriptor(adopting: opened.descriptor), opened.size)
        }
        // A file is as large as the object. A peer may have passed a larger one.
        let wanted = Int(memory.size.rawValue)
        guard memory.place == .file ? size == wanted : size >= wanted else {
            throw Self.unrestorable("the memory \"\(memory.name)\" has another size than before")
        }
        return try converting(
            { (error: Errno) in
                Self.unrestorable("the memory \"\(memory.name)\" can't be mapped: \(error)")
            }, MappedFile(file, size: memory.size, pageSize: memory.pageSize))
    }

    private static func unrestorable(_ reason: String) -> ProtocolError {
        ProtocolError(.backendUnavailable, reason)
    }
}

extension ProtocolError {
    /// The error for memory that only a descriptor store could keep.
    fileprivate static func unstorable(
        _ path: String, _ kind: ErrorKind, _ memory: String
    ) -> ProtocolError {
        let reason = "there is no descriptor store for \(memory)"
        return ProtocolError(
            ErrorData(kind, path: path, reason: reason),
            message: "\(path): \(reason): run under systemd with FileDescriptorStoreMax=, "
                + "or create the VM as ephemeral")
    }
}
