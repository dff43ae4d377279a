import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import Memslots

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Redraw the memory map at every commit.",
        discussion: """
            Without VM it watches all of your VMs, including those created later. It ends with the \
            daemon or the run, or at Ctrl-C. With --json the snapshot and each event are a line.
            """)

    @OptionGroup var client: ClientOptions
    @Option(help: .number("End after this many events.")) var events: Int?
    @Argument(help: "The VM's name.") var vm: String?

    func run() throws {
        var connection = try client.daemon.connect()
        var watched = try subscribe(&connection)
        var left = events ?? .max
        while left > 0, let event = try connection.nextNotification() {
            left -= 1
            _ = client.printJSON(event)
            if event["method"]?.isString("events.dropped") ?? false {
                // A new snapshot replaces the lost events.
                watched = try subscribe(&connection)
                continue
            }
            let isEnd = event["method"]?.isString("run.ended") ?? false
            guard let changed = watched.apply(event) else { continue }
            if !client.json { draw(watched, changed: changed) }
            fflush(nil)
            // A run's socket ends with the run.
            if isEnd { return }
        }
        if left > 0 { throw ExitCode.failed("the daemon has ended") }
    }

    private func subscribe(_ connection: inout DaemonClient) throws -> WatchedVMs {
        let snapshot = try connection.send(DaemonRequest(.eventsSubscribe, vm: vm)).result
        // The snapshot contains all earlier events; applying them again would undo later changes.
        connection.discardNotifications()
        let watched = WatchedVMs(snapshot: snapshot, connection.hint)
        if !client.printJSON(snapshot) { draw(watched, changed: nil) }
        fflush(nil)
        return watched
    }

    private func draw(_ watched: WatchedVMs, changed: WatchedVMs.Change?) {
        let isLive = Terminal.isTerminal(STDOUT_FILENO)
        // Moves to the top left and erases below: no flicker, and the scroll-back remains.
        if isLive { print("\u{1B}[H\u{1B}[2J", terminator: "") }
        let shown = isLive || changed == nil ? watched.names : changed?.vm.map { [$0] } ?? []
        if watched.names.isEmpty && changed == nil { Terminal.print("no VMs yet") }

        for name in shown { Terminal.print(watched.lines(of: name)) }
        if let changed { Terminal.print(changed.sentence + "\n\n") }
    }
}

/// VMs reconstructed from events: a snapshot, and the changes since.
struct WatchedVMs {
    /// The VM whose map changed, if one did, and the sentence about the event.
    typealias Change = (vm: String?, sentence: String)

    private struct VM {
        var generation: UInt64
        /// The JSON of each slot, by the slot's name on the wire.
        var slots: [String: JSONValue] = [:]

        init(_ value: JSONValue) {
            generation = value["generation"]?.uint64 ?? 0
            put(value.list("slots"))
        }

        mutating func put(_ list: [JSONValue]) {
            for slot in list { slots[WireSlot.name(of: slot)] = slot }
        }
    }

    private var vms: [Name: VM] = [:]
    private let hint: Hint

    init(snapshot: JSONValue, _ hint: Hint) {
        self.hint = hint
        for vm in snapshot.list("vms") { vms[Name(vm["vm"]?.string ?? "")] = VM(vm) }
    }

    var names: [String] { vms.keys.sorted().map(\.text) }

    /// The map of a VM with its name; empty if the VM is gone.
    func lines(of name: String) -> [String] {
        guard let vm = vms[Name(name)] else { return [] }
        let heading = "\(name), generation \(vm.generation)"
        if vm.slots.isEmpty { return [heading, "no slots", ""] }
        let list = vm.slots.values.map(\.rawText).joined(separator: ",")
        guard let slots = try? JSONDocument(parsing: "[\(list)]").root else { return [heading] }
        return [heading] + PicturedArray(result: slots).map.lines(Terminal.textOptions) + [""]
    }

    /// Applies an event; returns the change, or `nil` for an event that is not shown.
    mutating func apply(_ event: JSONValue) -> Change? {
        guard let params = event["params"] else { return nil }
        if event["method"]?.isString("run.ended") ?? false {
            return (nil, RunEventText.end(params))
        }
        guard let vm = params["vm"]?.string else { return nil }
        let errno = params["errno"]?.string ?? "an error"
        switch event["method"]?.string {
        case "memslots.committed":
            commit(params, to: vm)
            let count = params["operationCount"]?.int ?? 0
            let blackout = params["nanoseconds"]?.duration("blackout") ?? "?"
            let held =
                params["quiesced"]?.bool == true
                ? "vCPUs held for \(blackout)" : "the guest kept running"
            let change = WireSlot.changes(in: params["diff"])
            return (vm, "\(vm): \(change); kernel calls: \(count), \(held)")
        case "memslots.rolledBack": return (vm, "\(vm): a transaction was undone after \(errno)")
        case "memslots.failed":
            vms[Name(vm)]?.slots = [:]
            vms[Name(vm)]?.put(params.list("slots"))
            let order = hint.naming(vm).command("recover VM")
            let text = "\(vm) has failed (\(errno), and the undo failed too); the map shows the "
            return (vm, text + "installed slots. Try: \(order)")
        case "vm.created":
            vms[Name(vm)] = VM(params)
            return (vm, "\(vm) was created")
        case "vm.destroyed":
            vms[Name(vm)] = nil
            return (vm, "\(vm) was destroyed")
        case "run.transaction": return (nil, "\(vm): \(RunEventText.transaction(params))")
        case "run.fault":
            let text = params["text"]?.string ?? ""
            return (nil, "\(vm): KVM_RUN: \(Terminal.safe(text))")
        default: return nil
        }
    }

    private mutating func commit(_ receipt: JSONValue, to vm: String) {
        guard let diff = receipt["diff"] else { return }
        for slot in diff.list("removed") { vms[Name(vm)]?.slots[WireSlot.key(slot)] = nil }
        vms[Name(vm)]?.put(receipt.list("changed"))
        vms[Name(vm)]?.generation = receipt["generation"]?.uint64 ?? 0
    }
}

enum RunEventText {
    static func transaction(_ params: JSONValue) -> String {
        let text =
            "\(counted(params["calls"]?.int ?? 0, "slot call")) by thread "
            + "\(params["thread"]?.uint64 ?? 0), \(holes(params))"
        guard let commit = params["commit"] else { return text }
        let held = commit.duration("heldNanoseconds")
        return text + "; \(commit["asked"]?.int ?? 0) requested, vCPUs held for \(held)"
    }

    static func end(_ params: JSONValue) -> String {
        var text = "the run has ended with status \(params["status"]?.rawText ?? "?"): "
        text += "\(params["calls"]?.int ?? 0) slot calls in "
        text += "\(params["transactions"]?.int ?? 0) transactions; memory was missing in "
        text += "\(params["transactionsWithHoles"]?.int ?? 0)"
        let inGuest = params["transactionsWithHolesInGuest"]?.int ?? 0
        return text + (inGuest > 0 ? ", in \(inGuest) of them with the guest running" : "")
    }

    private static func holes(_ params: JSONValue) -> String {
        let missing = params["missingBytes"]?.string.flatMap { UInt64($0.dropFirst(2), radix: 16) }
        guard let missing, missing > 0 else { return "no memory missing" }
        let longest = params.duration("longestNanoseconds")
        let guest =
            params["guestInside"]?.bool == true ? "the guest running" : "the guest not running"
        return "\(HumanSize(ByteCount(missing))) missing for \(longest), \(guest)"
    }
}
