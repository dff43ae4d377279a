internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Memory that slots name instead of an address, mapped once, for one VM. It is unmapped with the
/// last reference; a reply that lists a slot of it has one.
final class MemoryObject: Sendable {
    /// The id in the slots.
    let id: MemoryObjectID
    let name: String
    let size, pageSize: ByteCount
    let kind: Kind
    /// Where the memory remains when this process ends; `nil` if it ends too.
    let place: MemoryPlace?
    private let charges: [BudgetCharge]

    enum Kind: Sendable {
        /// A file that this process maps.
        case mapped(MappedFile)
        /// A guest_memfd, and its mapping if it is the host's memory too.
        case guestMemfd(handle: Int32, mapping: MappedFile?)
    }

    init(
        id: MemoryObjectID, name: String, size: ByteCount, pageSize: ByteCount, kind: Kind,
        charges: [BudgetCharge], place: MemoryPlace? = nil
    ) {
        (self.id, self.name, self.size, self.pageSize) = (id, name, size, pageSize)
        (self.kind, self.charges, self.place) = (kind, charges, place)
    }

    /// What slots can name as their memory; `nil` for a guest_memfd that is the guest's alone.
    var mapping: MappedFile? {
        switch kind {
        case .mapped(let file): file
        case .guestMemfd(_, let mapping): mapping
        }
    }

    var listed: ListedMemory { ListedMemory(memory: name, size: size, pageSize: pageSize) }
}

/// A memory file that is mapped as long as this object lives.
final class MappedFile: Sendable {
    let address: UserspaceAddress
    let pageSize, size: ByteCount
    fileprivate let file: OwnedDescriptor?

    /// Maps the first `size` bytes of `file`, and keeps it. Throws the errno of `mmap`.
    convenience init(_ file: OwnedDescriptor, size: ByteCount, pageSize: ByteCount) throws(Errno) {
        try self.init(file.number, keeping: file, size: size, pageSize: pageSize)
    }

    /// Maps the first `size` bytes of the file `number`. Throws the errno of `mmap`.
    init(
        _ number: Int32, keeping file: OwnedDescriptor? = nil, size: ByteCount, pageSize: ByteCount
    ) throws(Errno) {
        guard let length = Int(exactly: size.rawValue) else { throw .outOfMemory }
        // At a multiple of 2 MiB, where huge pages can back the file, or of 1 MiB, the largest slot
        // granule of a simulated VM: first addresses with room for that are reserved, then the file
        // replaces a part of them.
        let alignment = max(length < 1 << 21 ? 1 << 20 : 1 << 21, Int(pageSize.rawValue))
        let (room, overflow) = length.addingReportingOverflow(alignment)
        guard !overflow else { throw .outOfMemory }
        let none = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let start = mmap(nil, room, PROT_NONE, none, -1, 0), start != MAP_FAILED
        else { throw .last }
        let pointer = start.alignedUp(toMultipleOf: alignment)
        // Reserves no memory: the kernel allocates guest memory when it is first written.
        let shared = MAP_SHARED | MAP_NORESERVE | MAP_FIXED
        guard mmap(pointer, length, PROT_READ | PROT_WRITE, shared, number, 0) != MAP_FAILED else {
            defer { munmap(start, room) }
            throw .last
        }
        if pointer > start { munmap(start, pointer - start) }
        munmap(pointer + length, alignment - (pointer - start))
        address = UserspaceAddress(UInt64(UInt(bitPattern: pointer)))
        (self.file, self.size, self.pageSize) = (file, size, pageSize)
    }

    deinit {
        // The initializer mapped it, and no slot names it any more.
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(address.rawValue)), Int(size.rawValue))
    }

    /// Returns a copy of the descriptor, for the caller to close. Throws `EBADF` if it is not kept.
    func exported() throws(Errno) -> Int32 { try duplicate(file?.number ?? -1) }
}

/// The memory objects of one VM, by name and by id.
struct MemoryObjects: Sendable {
    private var byName: [Name: MemoryObject] = [:]
    private var byID: [MemoryObjectID: MemoryObject] = [:]
    private var byHandle: [Int32: MemoryObject] = [:]
    /// The names of removed objects, for receipts of history that contain their ids.
    private var formerNames: [MemoryObjectID: String] = [:]
    /// The last id that an object got.
    private(set) var lastID: UInt32

    private static let formerNameLimit = 4_096

    /// Creates an empty list, whose objects get ids above `first`.
    init(idsFrom first: UInt32 = 0) { lastID = first }

    /// All objects, sorted by name.
    var all: [MemoryObject] { byName.sorted { $0.key < $1.key }.map(\.value) }
    subscript(name: String) -> MemoryObject? { byName[Name(name)] }

    /// Returns the name of the object that has, or had, this id.
    func name(of id: MemoryObjectID) -> String? { byID[id]?.name ?? formerNames[id] }

    /// Returns the descriptor of an object that may be passed to a device process; `nil` for a
    /// guest_memfd, and for a file of the state directory, which such a process could shrink.
    func descriptor(of id: MemoryObjectID) -> Int32? {
        guard let object = byID[id], object.place != .file, case .mapped(let file) = object.kind
        else { return nil }
        return file.file?.number
    }

    func guestMemfd(handle: Int32) -> MemoryObject? { byHandle[handle] }

    /// Returns the part of a shared guest_memfd that `memory` is; `nil` for other memory.
    func binding(of memory: MemoryReference) -> GuestMemfdBinding? {
        guard case .guestMemfd(let handle, _?) = byID[memory.object]?.kind else { return nil }
        return GuestMemfdBinding(descriptor: handle, offset: memory.offset)
    }

    /// Returns an id that no object of this VM ever had; `nil` once all are used.
    mutating func nextID() -> MemoryObjectID? {
        guard lastID < .max else { return nil }
        lastID += 1
        return MemoryObjectID(lastID)
    }

    /// Reserves all ids up to `last`.
    mutating func skip(_ last: UInt32) { lastID = max(lastID, last) }

    mutating func add(_ object: MemoryObject) {
        byName[Name(object.name)] = object
        byID[object.id] = object
        if case .guestMemfd(let handle, _) = object.kind { byHandle[handle] = object }
    }

    mutating func remove(_ object: MemoryObject) {
        byName[Name(object.name)] = nil
        byID[object.id] = nil
        if case .guestMemfd(let handle, _) = object.kind { byHandle[handle] = nil }
        formerNames[object.id] = object.name
        // At the limit all others are dropped, because their order is not recorded.
        if formerNames.count > Self.formerNameLimit { formerNames = [object.id: object.name] }
    }
}
