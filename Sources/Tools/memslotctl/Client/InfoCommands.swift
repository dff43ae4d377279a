import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

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
                + "process \(info["pid"]?.rawText ?? "?"), at \(try client.daemon.path().path)\n")
        for backend in info["backends"].map({ Array($0.members) }) ?? [] {
            Terminal.print("\(backend.name): \(Self.text(backend.value))")
        }
        Terminal.print(Self.state(info["state"]))
        Terminal.print("")
        Terminal.print(ListCommand.lines(list, connection.hint))
        Terminal.print("")
        Terminal.print(limits(info["limits"]))
    }

    private static func text(_ backend: JSONValue) -> String {
        guard backend["available"]?.bool == true else {
            return "not available: \(backend["reason"]?.string ?? "no reason given")"
        }
        let capabilities = backend["capabilities"]
        let spaces = capabilities?["addressSpaces"]?.uint64 ?? 0
        return "\(capabilities?["maxSlots"]?.rawText ?? "?") slots, "
            + "\(spaces) address \(spaces == 1 ? "space" : "spaces"), "
            + "\(capabilities?["guestPhysicalBits"]?.rawText ?? "?") guest address bits, "
            + (capabilities?.strings("flags") ?? []).joined(separator: ", ")
    }

    /// Where VMs are kept, and what is wrong there.
    private static func state(_ state: JSONValue?) -> [String] {
        guard let state else { return [] }
        let directory = state["directory"]?.string ?? "?"
        var lines = ["state: \(directory), memory in \(state["memory"]?.string ?? "?")"]
        for list in ["unrestored", "damaged", "ahead"] {
            lines += state.list(list).map { record in
                let parts = ["vm", "file", "reason"].compactMap { record[$0]?.string }
                return "  \(list): " + Terminal.safe(parts.joined(separator: ": "))
            }
        }
        guard !state.list("damaged").isEmpty else { return lines }
        let repair = Hint().command("state repair \(shellWord(directory))")
        return lines + ["  Stop the daemon, then: \(repair)"]
    }

    private func limits(_ limits: JSONValue?) -> [String] {
        var table = TextTable(columns: ["limit", .numbers("")])
        for limit in limits.map({ Array($0.members) }) ?? [] {
            let isBytes = limit.name.contains("ytes")
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

    @Flag(help: "Print all figures as OpenMetrics text.")
    var openMetrics = false

    mutating func validate() {
        if openMetrics { client.json = false }
    }

    func request() -> DaemonRequest { DaemonRequest(.metricsGet) }

    func lines(_ result: JSONValue) -> [String] {
        if openMetrics {
            return (result["openMetrics"]?.string ?? "").split(separator: "\n").map(String.init)
        }
        var counters = TextTable(columns: ["counter", .numbers("")])
        for group in ["counters", "gauges"] {
            for member in result[group].map({ Array($0.members) }) ?? [] {
                counters.append(["\(member.name)", TextTable.Cell(Self.value(member))])
            }
        }
        return Terminal.lines(counters) + [""] + Terminal.lines(times(result["histograms"]))
    }

    private static func value(_ member: JSONMember) -> String {
        if case .success(let bytes) = member.value.quantity, member.name == "memoryBytes" {
            return "\(HumanSize(bytes: bytes))"
        }
        return member.value.rawText
    }

    private func times(_ histograms: JSONValue?) -> TextTable {
        let ranks = ["min", "p50", "p90", "p99", "p999", "max"]
        var table = TextTable(
            columns: ["time", .numbers("count")]
                + ranks.map { TextTable.Column($0, .trailing) })
        for member in histograms.map({ Array($0.members) }) ?? [] {
            let count = member.value["count"]?.uint64 ?? 0
            table.append(
                ["\(member.name)", "\(count)"]
                    + ranks.map { rank in
                        member.value[rank]?.uint64 == nil
                            ? "–" : "\(member.value.duration(rank))"
                    })
        }
        return table
    }
}
