import Glibc
import MemslotService
import Memslots

/// The descriptors that systemd passes at the start, as sd_listen_fds_with_names(3) finds them:
/// sockets, and those that the process before this one stored.
struct InheritedDescriptors {
    private var sockets: [Int32] = []
    private(set) var stored: [String: Int32] = [:]

    private static let first: Int32 = 3
    /// More than systemd ever passes.
    private static let limit: Int32 = 1 << 20

    /// Adopts the descriptors, and removes the variables that describe them from the environment.
    static func adopt() -> InheritedDescriptors {
        var all = InheritedDescriptors()
        guard environment("LISTEN_PID") == "\(getpid())",
            let count = environment("LISTEN_FDS").flatMap({ Int32($0) }), 1...limit ~= count
        else { return all }
        let names = environment("LISTEN_FDNAMES")?
            .split(separator: ":", omittingEmptySubsequences: false)
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
        for index in 0..<count {
            let descriptor = first + index
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let name = names.flatMap { $0.indices.contains(Int(index)) ? $0[Int(index)] : nil }
            guard let name, name.hasPrefix(ServiceDescriptorStore.prefix) else {
                all.sockets.append(descriptor)
                continue
            }
            // Two descriptors have one name only if a removal failed. The last one counts.
            if let other = all.stored.updateValue(descriptor, forKey: String(name)) { close(other) }
        }
        return all
    }

    var hasSocket: Bool { !sockets.isEmpty }

    /// Adopts the passed socket, if any. Throws if there are several, or it is none that listens.
    func listener() throws(ListeningError) -> Listener? {
        guard let socket = sockets.first else { return nil }
        guard sockets.count == 1 else {
            throw ListeningError("systemd passed \(sockets.count) sockets; memslotd serves one")
        }
        return try Listener(adopting: socket)
    }
}

/// systemd's descriptor store, which passes what it holds to the next process of this service: see
/// sd_notify(3), `FDSTORE=1`. systemd 254 and later report `FileDescriptorStoreMax=` in `$FDSTORE`.
final class ServiceDescriptorStore: DescriptorStore {
    private struct State {
        /// The descriptors of the process before this one that were not claimed yet.
        var unclaimed: [String: Int32]
        var names: Set<String>
    }

    private let notification: ServiceNotification
    /// The store's capacity. systemd drops a descriptor beyond it, and only logs that.
    private let limit: Int
    private let state: Locked<State>

    static let prefix = "vm-"

    /// The store of this process; `nil` if it has none.
    init?(_ notification: ServiceNotification, _ inherited: InheritedDescriptors) {
        guard notification.isEnabled, let limit = environment("FDSTORE").flatMap({ Int($0) }),
            limit > 0
        else { return nil }
        (self.notification, self.limit) = (notification, limit)
        state = Locked(State(unclaimed: inherited.stored, names: Set(inherited.stored.keys)))
    }

    func claim(_ name: String) -> Int32? {
        state.withLock { $0.unclaimed.removeValue(forKey: name) }
    }

    var unclaimed: [String] { state.withLock { $0.unclaimed.keys.sorted() } }

    func store(_ descriptor: Int32, as name: String) throws(Errno) {
        try state.withLock { state throws(Errno) in
            guard state.names.count < limit || state.names.contains(name) else {
                throw Errno(rawValue: ENOSPC)
            }
            // Without FDPOLL=0 systemd polls the file, and drops it because it seems to have ended.
            try notification.send(
                "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0\n", descriptors: [descriptor])
            state.names.insert(name)
        }
        do throws(Errno) { try notification.waitUntilReceived() } catch {
            remove(name)
            throw error
        }
    }

    func remove(_ name: String) {
        let unclaimed = state.withLock { state in
            state.names.remove(name)
            return state.unclaimed.removeValue(forKey: name)
        }
        if let unclaimed { close(unclaimed) }
        // If this fails, the next start finds the descriptor again.
        try? notification.send("FDSTOREREMOVE=1\nFDNAME=\(name)\n")
    }
}
