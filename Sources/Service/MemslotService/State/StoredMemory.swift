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
    /// Returns where a new memory object of the VM is stored.
    ///
    /// - Throws: the refusal if it can't be stored: a restart would lose it, and the VM with it.
    func place(for source: MemorySource) throws(ProtocolError) -> MemoryPlace {
        switch source {
        case .made(.guestMemfd): return .guestMemfd
        case _ where store.descriptors != nil: return .descriptor
        case .made(.memfd): return .file
        case .made(.hugetlb):
            let reason = "there is no descriptor store for huge pages"
            throw ProtocolError(
                ErrorData(.backendUnavailable, path: "backing", reason: reason),
                message: "backing: \(reason): run under systemd with FileDescriptorStoreMax=, "
                    + "or create the VM as ephemeral")
        case .passed:
            let reason = "there is no descriptor store for a passed descriptor"
            throw ProtocolError(
                ErrorData(.invalidParams, path: "fd", reason: reason),
                message: "fd: \(reason): run under systemd with FileDescriptorStoreMax=, "
                    + "or create the VM as ephemeral")
        }
    }

    /// Creates the file of a memory object and maps it.
    func makeFile(_ id: MemoryObjectID, size: ByteCount) throws(Errno) -> MappedFile {
        let name = StateNames.memory(id.rawValue, of: number)
        let (file, _) = try store.directory.openFile(name, O_RDWR | O_CREAT | O_EXCL)
        do throws(Errno) {
            guard let length = Int(exactly: size.rawValue) else { throw .outOfMemory }
            guard ftruncate(file, length) == 0 else { throw Errno(rawValue: errno) }
            return try MappedFile(
                descriptor: file, size: size, pageSize: Memslots.pageSize)
        } catch {
            close(file)
            store.remove(name)
            throw error
        }
    }

    func storeDescriptor(_ id: MemoryObjectID, _ file: MappedFile) throws(Errno) {
        let copy = try file.exported()
        defer { close(copy) }
        try store.descriptors?.store(copy, as: StateNames.memory(id.rawValue, of: number))
    }

    func drop(_ id: MemoryObjectID, _ place: MemoryPlace?) {
        store.drop(id, of: number, place)
    }
}

extension StateStore {
    /// Removes the stored memory object `id` of the VM `number`.
    func drop(_ id: MemoryObjectID, of number: UInt64, _ place: MemoryPlace?) {
        let name = StateNames.memory(id.rawValue, of: number)
        switch place {
        case .file: remove(name)
        case .descriptor: descriptors?.remove(name)
        case .guestMemfd, nil: break
        }
    }

    /// Maps what is stored of a memory object.
    ///
    /// - Throws: the reason why it can't be restored.
    func restore(
        _ memory: StoredMemory, of number: UInt64
    ) throws(ProtocolError) -> MappedFile {
        let name = StateNames.memory(memory.id.rawValue, of: number)
        let file: Int32
        let size: Int
        switch memory.place {
        case .descriptor:
            guard let descriptor = descriptors?.claim(name) else {
                throw Self.unrestorable("the descriptor store has no memory \"\(memory.name)\"")
            }
            (file, size) = (descriptor, MemoryFile.sealedSize(of: descriptor) ?? -1)
        case .file, .guestMemfd:
            do throws(Errno) {
                (file, size) = try directory.openFile(name, O_RDWR)
            } catch {
                throw Self.unrestorable("the file \(name) of memory \"\(memory.name)\": \(error)")
            }
        }
        // A file is as large as the object. A peer may have passed a larger one.
        let fits =
            memory.place == .file
            ? size == Int(memory.size.rawValue)
            : size >= Int(memory.size.rawValue)
        guard fits else {
            close(file)
            throw Self.unrestorable("the memory \"\(memory.name)\" has another size than before")
        }
        do throws(Errno) {
            return try MappedFile(
                descriptor: file, size: memory.size, pageSize: memory.pageSize)
        } catch {
            close(file)
            throw Self.unrestorable("the memory \"\(memory.name)\" can't be mapped: \(error)")
        }
    }

    private static func unrestorable(_ reason: String) -> ProtocolError {
        ProtocolError(.backendUnavailable, reason)
    }
}
