import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Tell what a daemon counted and measured for you.")

    @OptionGroup
    var client: ClientOptions

    @Flag(help: "Print all figures as OpenMetrics text.")
    var openMetrics = false

    func run() throws {
        var client = client
        if openMetrics { client.json = false }
        try client.ask(.metricsGet, tell: tell)
    }

    private func tell(_ metrics: JSONValue) {
        if openMetrics {
            return Terminal.write(Array((metrics["openMetrics"]?.string ?? "").utf8))
        }
        var counters = TextTable(columns: [
            TextTable.Column("counter"), TextTable.Column("", .trailing),
        ])
        for group in ["counters", "gauges"] {
            for member in metrics[group].map({ Array($0.members) }) ?? [] {
                counters.append(["\(member.name)", TextTable.Cell(Self.value(member))])
            }
        }
        Terminal.print(counters.lines(width: Terminal.width, colour: Terminal.usesColour))
        print("")
        Terminal.print(times(metrics["histograms"]))
    }

    private static func value(_ member: JSONMember) -> String {
        if case .success(let bytes) = member.value.quantity, member.name == "memoryBytes" {
            return "\(HumanSize(bytes: bytes))"
        }
        return member.value.rawText
    }

    private func times(_ histograms: JSONValue?) -> [String] {
        let ranks = ["min", "p50", "p90", "p99", "p999", "max"]
        var table = TextTable(
            columns: [TextTable.Column("time"), TextTable.Column("count", .trailing)]
                + ranks.map { TextTable.Column($0, .trailing) })
        for member in histograms.map({ Array($0.members) }) ?? [] {
            var cells: [TextTable.Cell] = [
                "\(member.name)", "\(member.value["count"]?.uint64 ?? 0)",
            ]
            for rank in ranks {
                let time = member.value[rank]?.uint64.map { HumanDuration(nanoseconds: $0) }
                cells.append(TextTable.Cell(time.map { "\($0)" } ?? "–"))
            }
            table.append(cells)
        }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour)
    }
}

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Tell what a daemon is, takes and holds.")

    @OptionGroup
    var client: ClientOptions

    func run() throws {
        var connection = try client.daemon.connect()
        let info = try connection.ask(.serverInfo)
        if client.print(info) { return }
        let list = try connection.ask(.vmList)
        let result = info.result
        print(
            "\(result["name"]?.string ?? "") \(result["version"]?.string ?? ""), "
                + "protocol \(result["protocol"]?.rawText ?? "?"), "
                + "process \(result["pid"]?.rawText ?? "?"), at \(try client.daemon.path().path)\n")
        for backend in result["backends"].map({ Array($0.members) }) ?? [] {
            print("\(backend.name): \(Self.words(backend.value))")
        }
        print("")
        Terminal.print(ListCommand.lines(list.result))
        print("")
        Terminal.print(limits(result["limits"]))
    }

    private static func words(_ backend: JSONValue) -> String {
        guard backend["available"]?.bool == true else {
            return "not available: \(backend["reason"]?.string ?? "no reason given")"
        }
        let capabilities = backend["capabilities"]
        let flags = capabilities?["flags"]?.elements.compactMap(\.string) ?? []
        let spaces = capabilities?["addressSpaces"]?.uint64 ?? 0
        return "\(capabilities?["maxSlots"]?.rawText ?? "?") slots, "
            + "\(spaces) address \(spaces == 1 ? "space" : "spaces"), "
            + "\(capabilities?["guestPhysicalBits"]?.rawText ?? "?") guest address bits, "
            + flags.joined(separator: ", ")
    }

    private func limits(_ limits: JSONValue?) -> [String] {
        var table = TextTable(columns: [TextTable.Column("limit"), TextTable.Column("", .trailing)])
        for limit in limits.map({ Array($0.members) }) ?? [] {
            let isBytes = limit.name.contains("ytes")
            let value = limit.value.uint64 ?? 0
            table.append(["\(limit.name)", isBytes ? "\(HumanSize(bytes: value))" : "\(value)"])
        }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour)
    }
}
