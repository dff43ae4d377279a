internal import Glibc
internal import MemslotProtocol
public import Memslots
internal import Synchronization

/// Stores a service's VMs on disk. The next service restores them, even if this one was killed.
///
/// Each VM has a record, a file of its own in a private directory. A change is in the record before
/// it is applied, and before anyone sees it. Call from any thread.
public final class StateStore: Sendable {
    /// The directory's path.
    public var path: String { directory.path }

    let directory: StateDirectory
    let descriptors: (any DescriptorStore)?
    /// Held while a VM is added or removed, so that no two VMs have one name.
    let names = Locked(false)
    let troubles = Locked(StateTroubles())
    private let isSynced: Bool
    private let observer: @Sendable (StateEvent) -> Void
    private let lastNumber = Atomic<UInt64>(0)

    /// Opens and locks the directory at `path`, which is created if it is missing.
    ///
    /// - Parameters:
    ///   - path: a directory of this process's user that is closed to others.
    ///   - isSynced: whether a request is replied to only when its change is on the disk. A killed
    ///     process loses nothing without it; a host that loses power may. Costs an `fsync` or two
    ///     for each change.
    ///   - descriptors: holds memory objects; `nil` to keep them in files of the directory.
    ///   - observer: receives what is found and what goes wrong; must be short. Called on any
    ///     thread.
    /// - Throws: if others may open the directory, if another server uses it, or if a call fails.
    public init(
        at path: String, isSynced: Bool = false, descriptors: (any DescriptorStore)? = nil,
        observer: @escaping @Sendable (StateEvent) -> Void = { _ in }
    ) throws(StateError) {
        directory = try StateDirectory(path)
        (self.isSynced, self.descriptors, self.observer) = (isSynced, descriptors, observer)
    }

    /// Records and logs a damaged record, which is in the file `setAside` now if it is not `nil`.
    func report(damaged file: String, setAside: String?, of vm: UInt64, _ reason: String) {
        func isRecord(_ bytes: [UInt8]?) -> Bool { (try? VMRecord(bytes ?? [], number: vm)) != nil }
        let bytes = try? directory.record(setAside ?? file)
        let repair: ServerState.Repair =
            if isRecord(try? directory.record(StateNames.record(vm))) { .unneeded } else {
                isRecord(bytes.flatMap(SealedText.restored)) ? .possible : .impossible
            }
        troubles.withLock {
            $0.damaged.append(
                ServerState.Record(file: setAside ?? file, reason: reason, repair: repair))
        }
        notify(.damaged(file: file, setAside: setAside, reason: reason))
    }

    func notify(_ event: StateEvent) { observer(event) }

    /// Returns a number that no VM of this state has.
    func nextNumber() -> UInt64 { lastNumber.add(1, ordering: .relaxed).newValue }

    /// Reserves all numbers up to `number`.
    func skip(_ number: UInt64) { lastNumber.max(number, ordering: .relaxed) }

    func file(_ name: String) -> StateFile {
        StateFile(directory: directory, name: name, isSynced: isSynced)
    }

    /// Ends a VM in the state: its record becomes a mark, `memories` are removed, and then the
    /// mark. The next start completes what is cut in between. Throws the errno of the first step;
    /// the VM stays then.
    func removeVM(_ number: UInt64, removing memories: () -> Void) throws(Errno) {
        let (record, mark) = (StateNames.record(number), StateNames.removed(number))
        do throws(Errno) { try directory.rename(record, to: mark) } catch {
            if error != .noEntry { throw error }
        }
        memories()
        remove(mark)
    }

    /// Removes a file that no record names any more. A failure is reported to the observer; the
    /// next start tries again. Returns whether the file is gone.
    @discardableResult
    func remove(_ name: String) -> Bool {
        do throws(Errno) { try directory.remove(name) } catch {
            notify(.unremoved(file: name, errno: error))
            return false
        }
        return true
    }

    /// Returns what `server.info` reports of the state.
    ///
    /// VMs by name are reported to their own user only. The users of damaged records are unknown.
    func report(for peer: Peer) -> ServerState {
        let troubles = troubles.withLock { $0 }
        return ServerState(
            directory: path, hasDescriptorStore: descriptors != nil,
            unrestored: (troubles.unrestored[peer.user] ?? [:]).sorted { $0.key < $1.key }.map {
                vm, trouble in
                ServerState.Record(
                    vm: vm.text, file: StateNames.record(trouble.record), reason: trouble.reason)
            }, damaged: troubles.damaged,
            ahead: troubles.ahead.filter { $0.value.user == peer.user }.sorted { $0.key < $1.key }
                .map { ServerState.Record(vm: $0.value.vm, file: $0.key) })
    }
}

/// What a service finds in its state, and what goes wrong with it, for a log.
public enum StateEvent: Hashable, Sendable {
    /// A VM was restored.
    case restored(vm: String, user: UInt32, generation: Generation, slots: Int)
    /// A VM has a record, but can't be restored now. Its record stays.
    case unrestored(vm: String, user: UInt32, file: String, reason: String)
    /// A record is damaged. It was renamed to `setAside`; `nil` if that failed.
    case damaged(file: String, setAside: String?, reason: String)
    /// A file that the service before this one had not finished was removed. Its request got no
    /// reply.
    case unfinished(file: String)
    /// Guest memory has no valid record of its VM, the file `record`. It stays.
    case orphan(file: String, record: String)
    /// The record of a VM could not be written, and a request was refused.
    case unwritten(vm: String, user: UInt32, errno: Errno)
    /// A record contains a change that was refused, because the change could not be undone in it.
    /// A restart would restore the VM with that change.
    case ahead(vm: String, user: UInt32, file: String, errno: Errno)
    /// A file could not be removed.
    case unremoved(file: String, errno: Errno)
}

/// A state directory can't be used.
public struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A sentence for the person who starts the service: what is wrong, where, and what to do.
    public let message: String

    init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}

/// The faults of a state that `server.info` reports.
struct StateTroubles: Sendable {
    /// A VM that has a record, but could not be restored.
    struct Unrestored: Sendable {
        let record: UInt64
        let memories: [StoredMemory]
        let reason: String
    }

    /// By user and name.
    var unrestored: [UInt32: [Name: Unrestored]] = [:]
    /// The records that were set aside, and why.
    var damaged: [ServerState.Record] = []
    /// The VMs whose records contain a change that was refused, by the record's name.
    var ahead: [String: (user: UInt32, vm: String)] = [:]
}
