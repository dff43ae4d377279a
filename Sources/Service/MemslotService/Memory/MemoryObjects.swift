internal import MemslotProtocol
internal import Memslots

/// The memory objects of one VM, by name and by the number that slots carry.
struct MemoryObjects: Sendable {
    private var byName: [String: MemoryObject] = [:]
    private var byID: [MemoryObjectID: MemoryObject] = [:]
    private var byHandle: [Int32: MemoryObject] = [:]
    /// Of objects that are gone, for receipts of history that name them.
    private var formerNames: [MemoryObjectID: String] = [:]
    /// The last number that was given.
    private(set) var lastID: UInt32

    private static let formerNameLimit = 4_096

    /// No objects yet; the numbers of those to come are above `first`.
    init(idsFrom first: UInt32 = 0) { lastID = first }

    /// All, by name.
    var all: [MemoryObject] { byName.values.sorted { $0.name < $1.name } }

    subscript(name: String) -> MemoryObject? { byName[name] }

    /// The name of the object that has, or had, this number.
    func name(of id: MemoryObjectID) -> String? { byID[id]?.name ?? formerNames[id] }

    /// The guest_memfd object that has `handle`.
    func guestMemfd(handle: Int32) -> MemoryObject? { byHandle[handle] }

    /// A number that no object of this VM ever had; `nil` once all were used.
    mutating func nextID() -> MemoryObjectID? {
        guard lastID < .max else { return nil }
        lastID += 1
        return MemoryObjectID(lastID)
    }

    /// Gives out no number up to `last`.
    mutating func skip(_ last: UInt32) { lastID = max(lastID, last) }

    mutating func add(_ object: MemoryObject) {
        byName[object.name] = object
        byID[object.id] = object
        if case .guestMemfd(let handle) = object.kind { byHandle[handle] = object }
    }

    mutating func remove(_ object: MemoryObject) {
        byName[object.name] = nil
        byID[object.id] = nil
        if case .guestMemfd(let handle) = object.kind { byHandle[handle] = nil }
        formerNames[object.id] = object.name
        // Emptied now and then, because which is the oldest is not worth knowing.
        if formerNames.count > Self.formerNameLimit { formerNames = [object.id: object.name] }
    }
}
