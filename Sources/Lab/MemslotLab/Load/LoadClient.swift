import Dispatch
import Glibc
import MemslotProtocol
import MemslotService

/// Submits to its VMs in turn until the time is over. Unchecked: one thread at a time uses it.
final class LoadClient: @unchecked Sendable {
    private var connection: ClientConnection
    private var arrays: [LoadArray]
    private let comparesAndSwaps: Bool
    /// Nanoseconds between two submits; 0 for no pause.
    private let interval: UInt64
    private(set) var tally = LoadTally()

    init(
        _ connection: consuming ClientConnection, number: Int, vms: [String], _ options: LoadOptions
    ) {
        self.connection = connection
        let own =
            options.clients >= vms.count
            ? [vms[number % vms.count]]
            : stride(from: number, to: vms.count, by: options.clients).map { vms[$0] }
        arrays = own.map { LoadArray(vm: $0, client: number, slots: options.slots) }
        comparesAndSwaps = options.compareAndSwap
        interval =
            options.rate == 0 ? 0 : UInt64(options.clients) * 1_000_000_000 / UInt64(options.rate)
    }

    /// Submits until `end`, in nanoseconds of uptime.
    func run(until end: UInt64) {
        var due = DispatchTime.now().uptimeNanoseconds
        var index = 0
        while due < end {
            if interval > 0 { sleep(until: due) }
            guard submit(to: index) else {
                tally.counts[.lostConnections] += 1
                return
            }
            let now = DispatchTime.now().uptimeNanoseconds
            // Measured from the due time, so that waiting behind a slow reply counts too.
            tally.latency.record(now - min(due, now))
            due = interval > 0 ? due + interval : now
            if interval > 0 && now >= end { return }
            index = (index + 1) % arrays.count
        }
    }

    private func submit(to index: Int) -> Bool {
        let line = arrays[index].next(comparesAndSwaps: comparesAndSwaps)
        do throws(TargetLost) {
            guard let reply = try connection.exchange(line).value else { return false }
            record(reply, from: index)
            return true
        } catch {
            tally.firstError = tally.firstError ?? error.message
            return false
        }
    }

    private func record(_ reply: JSONValue, from index: Int) {
        let (name, before) = (arrays[index].vm, arrays[index].generation)
        if let receipt = reply["result"], let generation = receipt["generation"]?.uint64 {
            if receipt["outcome"]?.isString("committed") ?? false {
                tally.counts[.commits] += 1
                tally.commits[name, default: 0] += 1
                if comparesAndSwaps && generation != before + 1 {
                    fail("\(name): generation \(generation) after \(before)")
                }
            } else {
                tally.counts[.unchanged] += 1
            }
            arrays[index].generation = generation
            return
        }
        let data = reply["error"]?["data"]
        if comparesAndSwaps, data?["kind"]?.isString("generation-conflict") ?? false,
            let present = data?["generation"]?.uint64
        {
            tally.counts[.conflicts] += 1
            arrays[index].generation = present
        } else {
            fail(reply["error"]?["message"]?.string ?? "an invalid reply")
        }
    }

    private func fail(_ reason: String) {
        tally.counts[.errors] += 1
        tally.firstError = tally.firstError ?? reason
    }

    private func sleep(until moment: UInt64) {
        var time = timespec(
            tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
        while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil) == EINTR {}
    }
}

/// The submits of one client to one VM, encoded beforehand except for the generation.
struct LoadArray {
    let vm: String
    /// The last generation that a reply had.
    var generation: UInt64 = 0
    private let head: [UInt8]
    private let tails: [[UInt8]]
    private var turn = 0

    /// Arrays of two clients differ, so that each submit changes something.
    init(vm: String, client: Int, slots: Int) {
        self.vm = vm
        let name = "{\"id\":1,\"method\":\"memslots.submit\",\"params\":{\"vm\":\"\(vm)\","
        head = Array(name.utf8)
        tails = (0...1).map { turn in
            let texts = (0..<slots).map { slot in
                // The first slot alternates between two addresses above all others.
                let guest = (slot == 0 ? slots + client * 2 + turn : slot) << 13
                let user = 0x7000_0000_0000 + slot << 12
                return #"{"slot":\#(slot),"guestPhysicalAddress":"0x\#(String(guest, radix: 16))","#
                    + #""size":"0x1000","userspaceAddress":"0x\#(String(user, radix: 16))"}"#
            }
            return Array("\"slots\":[\(texts.joined(separator: ","))]}}\n".utf8)
        }
    }

    /// The next request, which differs from the one before.
    mutating func next(comparesAndSwaps: Bool) -> [UInt8] {
        defer { turn ^= 1 }
        guard comparesAndSwaps else { return head + tails[turn] }
        return head + Array("\"expectedGeneration\":\(generation),".utf8) + tails[turn]
    }
}

/// Receives the events of all VMs, and counts the missing. Unchecked: one thread at a time uses it.
final class LoadSubscriber: @unchecked Sendable {
    private var connection: ClientConnection
    private let names: Set<String>
    /// The generations of the existing VMs of this load.
    private var generations: [String: UInt64] = [:]
    private(set) var tally = LoadTally()

    /// Subscribes to existing VMs; the subscriber ends when all are destroyed.
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
        generations = vms.generations(of: names)
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
            tally.counts[.lostConnections] += 1
            tally.firstError = tally.firstError ?? error.message
        }
    }

    private func record(_ event: JSONValue) throws(TargetLost) {
        guard let method = event["method"]?.string, let params = event["params"] else { return }
        if method == "events.dropped" {
            tally.counts[.droppedEvents] += params["count"]?.uint64 ?? 0
            return try subscribe()
        }
        guard let name = params["vm"]?.string, let known = generations[name] else { return }
        switch method {
        case "memslots.committed":
            tally.counts[.events] += 1
            let previous = params["previousGeneration"]?.uint64 ?? 0
            let generation = params["generation"]?.uint64 ?? 0
            if previous != known || generation != known + 1 { tally.counts[.lostEvents] += 1 }
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

extension JSONValue {
    /// The generations of those VMs of a list that are among `names`.
    func generations(of names: some Collection<String>) -> [String: UInt64] {
        elements.reduce(into: [:]) { generations, vm in
            guard let name = vm["vm"]?.string, names.contains(name) else { return }
            generations[name] = vm["generation"]?.uint64 ?? 0
        }
    }
}
