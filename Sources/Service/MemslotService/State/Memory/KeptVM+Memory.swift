internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension KeptVM {
    /// Where the VM's memory of this kind is kept, if it can be.
    ///
    /// - Throws: the refusal of memory that would be gone after a restart, and the VM with it.
    func place(for source: MemorySource) throws(ProtocolError) -> MemoryPlace {
        switch source {
        case .made(.guestMemfd): return .guestMemfd
        case _ where store.descriptors != nil: return .descriptor
        case .made(.memfd): return .file
        case .made(.hugetlb):
            let reason = "there is no descriptor store to keep huge pages in"
            throw ProtocolError(
                ErrorData(.backendUnavailable, path: "backing", reason: reason),
                message: "backing: \(reason): run under systemd with FileDescriptorStoreMax=, "
                    + "or make the VM ephemeral")
        case .passed:
            let reason = "there is no descriptor store to keep a passed descriptor in"
            throw ProtocolError(
                ErrorData(.invalidParams, path: "fd", reason: reason),
                message: "fd: \(reason): run under systemd with FileDescriptorStoreMax=, "
                    + "or make the VM ephemeral")
        }
    }

    /// Makes the file of a memory object and maps it.
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

    /// Lets a descriptor of `file` be kept.
    func keepDescriptor(_ id: MemoryObjectID, _ file: MappedFile) throws(Errno) {
        let copy = try file.exported()
        defer { close(copy) }
        try store.descriptors?.keep(copy, as: StateNames.memory(id.rawValue, of: number))
    }

    /// Lets go of what was kept for an object.
    func drop(_ id: MemoryObjectID, _ place: MemoryPlace?) {
        store.drop(id, of: number, place)
    }
}

extension StateStore {
    /// Lets go of what was kept for a memory object of the VM `number`.
    func drop(_ id: MemoryObjectID, of number: UInt64, _ place: MemoryPlace?) {
        let name = StateNames.memory(id.rawValue, of: number)
        switch place {
        case .file: remove(name)
        case .descriptor: descriptors?.drop(name)
        case .guestMemfd, nil: break
        }
    }

    /// Maps what was kept for a memory object.
    ///
    /// - Throws: why it is not what it was, as half a sentence.
    func restore(
        _ memory: KeptMemory, of number: UInt64
    ) throws(DamagedRecord) -> MappedFile {
        let name = StateNames.memory(memory.id.rawValue, of: number)
        let file: Int32
        let size: Int
        switch memory.place {
        case .descriptor:
            guard let descriptor = descriptors?.take(name) else {
                throw DamagedRecord("the descriptor store has no memory \"\(memory.name)\"")
            }
            (file, size) = (descriptor, MemoryFile.sealedSize(of: descriptor) ?? -1)
        case .file, .guestMemfd:
            do throws(Errno) {
                (file, size) = try directory.openFile(name, O_RDWR)
            } catch {
                throw DamagedRecord("the file \(name) of memory \"\(memory.name)\": \(error)")
            }
        }
        // A file is as large as the object; what a peer passed may be larger.
        let fits =
            memory.place == .file
            ? size == Int(memory.size.rawValue)
            : size >= Int(memory.size.rawValue)
        guard fits else {
            close(file)
            throw DamagedRecord("the memory \"\(memory.name)\" is not what it was")
        }
        do throws(Errno) {
            return try MappedFile(
                descriptor: file, size: memory.size, pageSize: memory.pageSize)
        } catch {
            close(file)
            throw DamagedRecord("the memory \"\(memory.name)\" can't be mapped: \(error)")
        }
    }
}
