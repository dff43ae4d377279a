internal import ArgumentParser
import Dispatch
import Glibc
import MemslotProtocol
package import MemslotService
import Memslots

/// A load on a daemon: clients submit, subscribers receive events, and losses are counted.
package struct Load {
    private let path: SocketPath
    private let options: LoadOptions
    private let vms: [String]

    package init(_ path: SocketPath, _ options: LoadOptions) {
        (self.path, self.options) = (path, options)
        vms = (0..<options.vms).map { "load-\(getpid())-\($0)" }
    }

    /// Creates the VMs, submits, and destroys the VMs. Throws why the load could not begin.
    package func run() throws(TargetLost) -> LoadReport {
        var report = LoadReport()
        var owner = try ClientConnection(path)
        let info = try call(&owner, .serverInfo, "{}")
        let daemon = Int32(truncatingIfNeeded: info["pid"]?.int ?? 0)
        report.before = ProcessUsage(of: daemon)
        try run(&owner, daemon, &report)
        report.after = settledUsage(of: daemon, before: report.before)
        return report
    }

    /// Runs clients and subscribers. Their connections end with it.
    private func run(
        _ owner: inout ClientConnection, _ daemon: Int32, _ report: inout LoadReport
    ) throws(TargetLost) {
        for vm in vms {
            let limits = "\"simulated\":{\"maxSlots\":\(max(options.slots, 32))}"
            _ = try call(
                &owner, .vmCreate, "{\"vm\":\"\(vm)\",\"backend\":\"simulated\",\(limits)}")
        }
        let subscribers = try (0..<options.subscribers).map { _ throws(TargetLost) in
            try LoadSubscriber(ClientConnection(path), vms: vms)
        }
        let receiving = try subscribers.map { subscriber throws(TargetLost) in
            try start { subscriber.run() }
        }
        let clients = try (0..<options.clients).map { number throws(TargetLost) in
            LoadClient(try ClientConnection(path), number: number, vms: vms, options)
        }
        let begin = DispatchTime.now().uptimeNanoseconds
        let span = UInt64(options.seconds) * 1_000_000_000
        let running = Locked(clients.count)
        let submitting = try clients.map { client throws(TargetLost) in
            try start {
                client.run(until: begin + span)
                running.change { $0 -= 1 }
            }
        }
        running.wait(while: { $0 > 0 }, milliseconds: span / 10_000_000)
        report.early = ProcessUsage(of: daemon)
        // While the clients are still connected.
        running.wait(while: { $0 > 0 }, milliseconds: span / 10_000_000 * 8)
        report.late = ProcessUsage(of: daemon)
        for thread in submitting { thread.join() }
        report.nanoseconds = DispatchTime.now().uptimeNanoseconds - begin

        let generations = try call(&owner, .vmList, "{}")["vms"]?.generations(of: vms) ?? [:]
        for vm in vms { _ = try call(&owner, .vmDestroy, "{\"vm\":\"\(vm)\"}") }
        for thread in receiving { thread.join() }
        for tally in clients.map(\.tally) + subscribers.map(\.tally) { report.tally.add(tally) }
        for (vm, generation) in generations {
            if report.tally.commits[vm, default: 0] != generation { report.lostUpdates.append(vm) }
            // A subscriber that received the VM's end must have received everything before.
            for last in subscribers.compactMap({ $0.finalGenerations[vm] })
            where last != generation {
                report.tally.counts[.lostEvents] += 1
            }
        }
        report.lostUpdates.sort()
    }

    /// Runs `body` on a thread of its own, of the daemon's size, so that there may be thousands.
    private func start(_ body: @escaping @Sendable () -> Void) throws(TargetLost) -> OwnThread {
        do throws(Errno) {
            return try OwnThread(stackBytes: ConnectionThreads.stackBytes, body)
        } catch { throw TargetLost("no thread for another client or subscriber") }
    }

    private func call(
        _ connection: inout ClientConnection, _ method: Method, _ params: String
    ) throws(TargetLost) -> JSONValue {
        let reply = try connection.call(method, params: Array(params.utf8)).value
        if let result = reply?["result"] { return result }
        throw TargetLost("\(method.rawValue): \(reply?["error"]?["message"]?.string ?? "no reply")")
    }

    /// Waits until the daemon has noticed that connections are closed.
    private func settledUsage(of daemon: Int32, before: ProcessUsage?) -> ProcessUsage? {
        for _ in 0..<200 {
            guard let before, let now = ProcessUsage(of: daemon),
                now.descriptors > before.descriptors
            else { break }
            usleep(10_000)
        }
        return ProcessUsage(of: daemon)
    }
}

/// The options of a load, as the command line names them.
package struct LoadOptions: ParsableArguments {
    /// Each with a thread.
    @Option(help: ArgumentHelp("Connections that submit.", valueName: "n")) package var clients = 4

    /// Client `i` submits to VMs whose number modulo the clients is `i`. More clients share VMs.
    @Option(help: ArgumentHelp("VMs.", valueName: "n")) package var vms = 4

    @Option(
        help: ArgumentHelp(
            "Submits a second of all clients together; 0 for no limit.", valueName: "n"))
    package var rate = 0

    /// A submit moves one.
    @Option(help: ArgumentHelp("Slots of each array.", valueName: "n")) package var slots = 16

    @Option(help: ArgumentHelp("Connections that receive the events.", valueName: "n"))
    package var subscribers = 1

    @Option(help: ArgumentHelp("The duration.", valueName: "s")) package var seconds = 10

    @Flag(help: "Send the expected generation in each submit.") package var compareAndSwap = false

    package init() {}

    package func validate() throws {
        guard (1...10_000).contains(clients), (0...10_000).contains(subscribers) else {
            throw ValidationError("--clients must be 1 to 10000, --subscribers 0 to 10000")
        }
        guard (1...100_000).contains(vms), (1...1 << 20).contains(slots) else {
            throw ValidationError("--vms must be 1 to 100000, --slots 1 to \(1 << 20)")
        }
        guard (1...1_000_000).contains(seconds), (0...1_000_000_000).contains(rate) else {
            throw ValidationError("--seconds must be 1 to 1000000, --rate 0 to 1000000000")
        }
    }
}
