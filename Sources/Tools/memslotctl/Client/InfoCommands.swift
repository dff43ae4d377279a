import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Print a daemon's version, backends, VMs and limits.")

    @OptionGroup var client: ClientOptions

    func run() throws {
        var connection = try client.daemon.connect()
        let info = try connection.send(DaemonRequest(.serverInfo)).result
        if client.printJSON(info) { return }
        let list = try connection.send(DaemonRequest(.vmList)).result
        Terminal.print(
            "\(info["name"]?.string ?? "") \(info["version"]?.string ?? ""), "
                + "protocol \(info["protocol"]?.rawText ?? "?"), "
                + "process \(info["pid"]?.rawText ?? "?"), at \(connection.socket)\n")
        for backend in info.objects("backends") {
            Terminal.print("\(backend.name): \(Self.text(backend.value))")
        }
        Terminal.print(
            Self.state(info["state"], connection.hint) + [""]
                + ListCommand.lines(list, connection.hint) + [""] + limits(info))
    }

    private static func text(_ backend: JSONValue) -> String {
        guard backend["available"]?.bool == true else {
            return "not available: \(backend["reason"]?.string ?? "no reason given")"
        }
        let capabilities = backend["capabilities"]
        return "\(capabilities?["maxSlots"]?.rawText ?? "?") slots, "
            + "\(counted(capabilities?["addressSpaces"]?.int ?? 0, "address space")), "
            + "\(capabilities?["guestPhysicalBits"]?.rawText ?? "?") guest address bits, "
            + (capabilities?.strings("flags") ?? []).joined(separator: ", ")
    }

    /// Where VMs are kept, and what is wrong there.
    private static func state(_ state: JSONValue?, _ hint: Hint) -> [String] {
        guard let state else { return [] }
        let directory = state["directory"]?.string ?? "?"
        var lines = ["state: \(directory), memory in \(state["memory"]?.string ?? "?")"]
        for list in ["unrestored", "damaged", "ahead"] {
            for record in state.list(list) {
                let parts = ["vm", "file", "reason"].compactMap { record[$0]?.string }
                lines.append("  \(list): " + Terminal.safe(parts.joined(separator: ": ")))
                if let advice = advice(list, record, directory, hint) {
                    lines.append("    \(advice)")
                }
            }
        }
        return lines
    }

    private static func advice(
        _ list: String, _ record: JSONValue, _ directory: String, _ hint: Hint
    ) -> String? {
        let name = record["file"]?.string ?? "?"
        let file = shellWord("\(directory)/\(name)")
        let order = hint.naming(record["vm"]?.string)
        switch (list, record["repair"]?.string) {
        case ("unrestored", _):
            return order.expand(
                "Remove the cause and restart the daemon, or give the VM up with {destroy VM}")
        case ("damaged", "unneeded"?): return "Its VM has a valid record, so you may: rm \(file)"
        case ("damaged", "impossible"?):
            return
                "It can't be repaired. Stop the daemon and put back a copy of the record, or give "
                + "the VM up: remove this file and \(Terminal.safe(String(name.prefix { $0 != "." }))).memory-*"
        case ("damaged", _):
            return "Stop the daemon, then: "
                + Hint().command("state repair \(shellWord(directory))")
        default: return nil
        }
    }

    private func limits(_ info: JSONValue) -> [String] {
        var table = TextTable(columns: ["limit", .numbers("")])
        for limit in info.objects("limits") {
            let isBytes = limit.name.contains("ytes") || limit.name.contains("emory")
            let value = limit.value.uint64 ?? 0
            table.append(["\(limit.name)", isBytes ? "\(HumanSize(bytes: value))" : "\(value)"])
        }
        return Terminal.lines(table)
    }
}

struct MetricsCommand: RequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print the counters and times of your VMs in a daemon.")

    @OptionGroup var client: ClientOptions
    @Flag(help: "Print all figures as OpenMetrics text.") var openMetrics = false

    mutating func validate() { if openMetrics { client.json = false } }
    func request() -> DaemonRequest { DaemonRequest(.metricsGet) }

    func lines(_ result: JSONValue) -> [String] {
        if openMetrics {
            return (result["openMetrics"]?.string ?? "").split(separator: "\n").map(String.init)
        }
        var counters = TextTable(columns: ["counter", .numbers("")])
        for member in ["counters", "gauges"].flatMap(result.objects) {
            let bytes = member.name == "memoryBytes" ? try? member.value.quantity.get() : nil
            let text = bytes.map { "\(HumanSize(bytes: $0))" } ?? member.value.rawText
            counters.append(["\(member.name)", TextTable.Cell(text)])
        }
        return Terminal.lines(counters) + [""] + Terminal.lines(times(result))
    }

    private func times(_ result: JSONValue) -> TextTable {
        let ranks = ["min", "p50", "p90", "p99", "p999", "max"]
        var table = TextTable(
            columns: ["time", .numbers("count")] + ranks.map { TextTable.Column($0, .trailing) })
        for member in result.objects("histograms") {
            let count = member.value["count"]?.uint64 ?? 0
            table.append(
                ["\(member.name)", "\(count)"]
                    + ranks.map { rank in
                        member.value[rank]?.uint64 == nil ? "–" : "\(member.value.duration(rank))"
                    })
        }
        return table
    }
}

struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Check or repair the state directory of a daemon that was stopped.",
        discussion: """
            repair restores a record that was cut within its checksum, or of which one byte was \
            changed. The damaged file stays beside it. Root may examine any user's directory. \
            Exit status: 0 if each VM has a valid record, 1 if not, 2 if a daemon runs on it.
            """)

    enum Action: String, ExpressibleByArgument, CaseIterable { case check, repair }

    @Argument var action: Action
    @Argument(help: "The daemon's --state-dir.", completion: .directory) var directory: String

    func run() throws {
        let findings = try converting(
            { (error: StateError) in UnusableFile(error.message) },
            StateCheck.run(at: directory, repairs: action == .repair))
        Terminal.print(findings.map { "\($0.file): \(Terminal.safe($0.text))" })
        if findings.isEmpty { Terminal.print("no records") }
        if findings.contains(where: \.isLoss) { throw ExitCode.failure }
    }
}
