internal import MemslotProtocol
internal import Memslots

/// The memory objects of one VM, by name and by the number that slots carry.
struct MemoryObjects: Sendable {
    private var byName: [String: MemoryObject] = [:]
    private var byID: [MemoryObjectID: MemoryObject] = [:]
    private var lastID: UInt32 = 0

    /// All, by name.
    var all: [MemoryObject] { byName.values.sorted { $0.name < $1.name } }

    var count: Int { byName.count }

    /// How many bytes all have together.
    var totalBytes: UInt64 { byName.values.reduce(0) { $0 + $1.size.rawValue } }

    subscript(name: String) -> MemoryObject? { byName[name] }

    subscript(id: MemoryObjectID) -> MemoryObject? { byID[id] }

    /// The guest_memfd object that has `handle`.
    func guestMemfd(handle: Int32) -> MemoryObject? {
        byName.values.first {
            if case .guestMemfd(handle) = $0.kind { true } else { false }
        }
    }

    /// A number that no object of this VM ever had.
    mutating func nextID() -> MemoryObjectID {
        lastID += 1
        return MemoryObjectID(lastID)
    }

    mutating func add(_ object: MemoryObject) {
        byName[object.name] = object
        byID[object.id] = object
    }

    mutating func remove(_ object: MemoryObject) {
        byName[object.name] = nil
        byID[object.id] = nil
    }
}
