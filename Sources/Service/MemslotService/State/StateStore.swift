internal import Glibc
internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// Where a service keeps its VMs, so that they return after it has ended, however it did.
///
/// Each VM has a file of its own in a private directory. A change is in the file before it is
/// made, and before anybody is told of it. Call from any thread.
public final class StateStore: Sendable {
    /// The directory's path.
    public var path: String { directory.path }

    let directory: StateDirectory
    let descriptors: (any DescriptorStore)?
    /// Held by whoever makes a VM, or ends one, so that no name is had twice.
    let names = Locked<Void>(())
    let troubles = Locked(StateTroubles())
    private let isSynced: Bool
    private let tell: @Sendable (StateNote) -> Void
    private let lastNumber = Atomic<UInt64>(0)

    /// Opens the state at `path`, which is made if it is missing, and locks it.
    ///
    /// - Parameters:
    ///   - path: a directory that is nobody else's.
    ///   - isSynced: whether a change is on the disk, and not only with the kernel, before it is
    ///     answered. Not needed for a server that is killed; dear.
    ///   - descriptors: where memory is kept; `nil` to keep it in files of the directory.
    ///   - observer: told what is found and what goes wrong; must be short.
    /// - Throws: where others could look into the directory, or another server has it.
    public init(
        at path: String, isSynced: Bool = false, descriptors: (any DescriptorStore)? = nil,
        observer: @escaping @Sendable (StateNote) -> Void = { _ in }
    ) throws(StateError) {
        directory = try StateDirectory(path)
        self.isSynced = isSynced
        self.descriptors = descriptors
        tell = observer
    }

    /// Tells the observer.
    func note(_ note: StateNote) { tell(note) }

    /// A number that no VM of this state has.
    func nextNumber() -> UInt64 { lastNumber.add(1, ordering: .relaxed).newValue }

    /// Gives out no number up to `number`.
    func skip(_ number: UInt64) { lastNumber.max(number, ordering: .relaxed) }

    func file(_ name: String) -> StateFile {
        StateFile(directory: directory, name: name, isSynced: isSynced)
    }

    /// Removes what nothing names any more. What can't be removed is told, and tried again at the
    /// next start.
    func remove(_ name: String) {
        do throws(Errno) { try directory.remove(name) } catch {
            note(.unremoved(file: name, errno: error))
        }
    }
}

/// What `server.info` tells of a state that is not wholly well.
struct StateTroubles: Sendable {
    /// A VM that is in the state, but not here.
    struct Unrestored: Sendable {
        let record: UInt64
        let memories: [KeptMemory]
        let reason: String
    }

    /// By user and name.
    var unrestored: [UInt32: [String: Unrestored]] = [:]
    /// Records that were set aside, and why.
    var damaged: [(file: String, reason: String)] = []
    /// Records that are ahead of their VMs.
    var ahead: [String: (user: UInt32, vm: String)] = [:]
}
