internal import MemslotProtocol
internal import MemslotService

/// A connection that follows the events of all VMs, and misses none unless it is told so.
struct LoadSubscriber: ~Copyable {
    private var connection: ClientConnection
    private let names: Set<String>
    /// The generations of the VMs of this load that are there.
    private var generations: [String: UInt64] = [:]
    private(set) var tally = LoadTally()

    /// Subscribes.
    ///
    /// - Parameter vms: all are there, and the load ends when none is.
    init(_ connection: consuming ClientConnection, vms: [String]) throws(TargetLost) {
        self.connection = connection
        names = Set(vms)
        try subscribe()
    }

    private mutating func subscribe() throws(TargetLost) {
        guard let answer = try connection.call("events.subscribe", params: Array("{}".utf8)).value,
            let vms = answer["result"]?["vms"]
        else { throw TargetLost("events.subscribe was refused") }
        // Older than the snapshot.
        connection.forgetNotifications()
        generations = [:]
        for vm in vms.elements {
            guard let name = vm["vm"]?.string, names.contains(name) else { continue }
            generations[name] = vm["generation"]?.uint64 ?? 0
        }
    }

    /// Reads events until every VM is gone.
    mutating func run() {
        do throws(TargetLost) {
            while !generations.isEmpty {
                guard let event = try connection.nextNotification()?.value else {
                    throw TargetLost("the daemon closed a subscriber's connection")
                }
                try note(event)
            }
        } catch {
            tally.lostConnections += 1
            tally.firstError = tally.firstError ?? error.message
        }
    }

    private mutating func note(_ event: JSONValue) throws(TargetLost) {
        guard let method = event["method"]?.string, let params = event["params"] else { return }
        if method == "events.dropped" {
            tally.droppedEvents += params["count"]?.uint64 ?? 0
            try subscribe()
            return
        }
        guard let name = params["vm"]?.string, let known = generations[name] else { return }
        switch method {
        case "memslots.committed":
            tally.events += 1
            let previous = params["previousGeneration"]?.uint64 ?? 0
            let generation = params["generation"]?.uint64 ?? 0
            if previous != known || generation != known + 1 { tally.lostEvents += 1 }
            generations[name] = generation
        case "vm.destroyed":
            generations[name] = nil
            finalGenerations[name] = known
        default: break
        }
    }

    /// The last generations that were seen of VMs that went while this looked on.
    private(set) var finalGenerations: [String: UInt64] = [:]
}
