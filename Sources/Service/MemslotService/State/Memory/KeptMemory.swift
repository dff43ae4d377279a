internal import Memslots

/// A memory object as a record names it.
struct KeptMemory: Sendable, Equatable {
    let id: MemoryObjectID
    let name: String
    let size: ByteCount
    let pageSize: ByteCount
    let place: MemoryPlace
}

/// What becomes of a memory object when the server ends.
enum MemoryPlace: String, Sendable, CaseIterable {
    /// A file of the server's own, in the state directory.
    case file
    /// A descriptor that systemd keeps.
    case descriptor
    /// A guest_memfd: it ends with its VM, and an empty one of the same size takes its place.
    case guestMemfd = "guest-memfd"
}
