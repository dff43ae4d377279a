import ArgumentParser
import MemslotPicture
import MemslotProtocol

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
