internal import MemslotProtocol
internal import MemslotService

/// A connection that receives the events of all VMs and counts those that are missing.
///
/// Unchecked: one thread at a time uses it.
final class LoadSubscriber: @unchecked Sendable {
    private var connection: ClientConnection
    private let names: Set<String>
    /// The generations of the existing VMs of this load.
    private var generations: [String: UInt64] = [:]
    private(set) var tally = LoadTally()

    /// Subscribes.
    ///
    /// - Parameter vms: existing VMs; the subscriber ends when all are destroyed.
    init(_ connection: consuming ClientConnection, vms: [String]) throws(TargetLost) {
        self.connection = connection
        names = Set(vms)
        try subscribe()
    }

    private func subscribe() throws(TargetLost) {
        guard let reply = try connection.call(.eventsSubscribe, params: Array("{}".utf8)).value,
            let vms = reply["result"]?["vms"]
        else { throw TargetLost("events.subscribe was refused") }
        // They are older than the snapshot.
        connection.discardNotifications()
        generations = [:]
        for vm in vms.elements {
            guard let name = vm["vm"]?.string, names.contains(name) else { continue }
            generations[name] = vm["generation"]?.uint64 ?? 0
        }
    }

    /// Receives events until every VM is destroyed.
    func run() {
        do throws(TargetLost) {
            while !generations.isEmpty {
                guard let event = try connection.nextNotification()?.value else {
                    throw TargetLost("the daemon closed a subscriber's connection")
                }
                try record(event)
            }
        } catch {
            tally.lostConnections += 1
            tally.firstError = tally.firstError ?? error.message
        }
    }

    private func record(_ event: JSONValue) throws(TargetLost) {
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

    /// The last generations of VMs that were destroyed during the subscription.
    private(set) var finalGenerations: [String: UInt64] = [:]
}
