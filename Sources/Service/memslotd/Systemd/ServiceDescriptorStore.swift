import CLinux
import Glibc
import MemslotService
import Memslots

/// systemd's descriptor store: what it is given, it hands to the next process of this service.
///
/// See sd_notify(3), `FDSTORE=1`. There is one where the unit has `FileDescriptorStoreMax=`;
/// systemd 254 says so in `$FDSTORE`.
final class ServiceDescriptorStore: DescriptorStore {
    private struct State {
        /// What the process before left, and nobody has taken.
        var left: [String: Int32]
        /// What is in the store now, by name.
        var names: Set<String>
    }

    private let notification: ServiceNotification
    /// How many it takes. Beyond it systemd would drop one and tell nobody but its log.
    private let limit: Int
    private let state: Locked<State>

    /// What the names of all of ours begin with.
    static let prefix = "vm-"

    /// The store of this process; `nil` where it has none.
    init?(_ notification: ServiceNotification, _ handedOver: HandedOverDescriptors) {
        guard notification.isHeard, let text = getenv("FDSTORE"),
            let limit = Int(String(cString: text)), limit > 0
        else { return nil }
        self.notification = notification
        self.limit = limit
        state = Locked(State(left: handedOver.kept, names: Set(handedOver.kept.keys)))
    }

    func take(_ name: String) -> Int32? {
        state.withLock { $0.left.removeValue(forKey: name) }
    }

    var left: [String] { state.withLock { $0.left.keys.sorted() } }

    func keep(_ descriptor: Int32, as name: String) throws(Errno) {
        try state.withLock { state throws(Errno) in
            guard state.names.count < limit || state.names.contains(name) else {
                throw Errno(rawValue: ENOSPC)
            }
            // A memory file is not to be waited for: it would be taken for one that has ended.
            try notification.send(
                "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0\n", descriptors: [descriptor])
            state.names.insert(name)
        }
        do throws(Errno) { try notification.waitUntilHeard() } catch {
            drop(name)
            throw error
        }
    }

    func drop(_ name: String) {
        let left = state.withLock { state in
            state.names.remove(name)
            return state.left.removeValue(forKey: name)
        }
        if let left { close(left) }
        // What can't be said is found again at the next start.
        try? notification.send("FDSTOREREMOVE=1\nFDNAME=\(name)\n")
    }
}
