import MemslotLab
import MemslotPicture
import MemslotProtocol

/// A load's report, for a person and for a program.
struct LoadText {
    let report: LoadReport

    var lines: [String] {
        let latency = report.latency
        let ranks = [
            ("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99),
            ("p99.9", latency.p999), ("max", latency.max),
        ].map { "\($0.0) \(HumanDuration(nanoseconds: $0.1))" }
        var lines = [
            "\(Int(report.throughput)) submits a second: \(report.commits) committed, "
                + "\(report.unchanged) unchanged, \(report.conflicts) conflicts, "
                + "\(report.errors) errors",
            "latency: " + ranks.joined(separator: ", "),
            "events: \(report.events) read, \(report.droppedEvents) told as dropped, "
                + "\(report.lostEvents) lost",
        ]
        if let first = report.firstError { lines.append("first error: \(Terminal.safe(first))") }
        lines += [""] + usage + [verdict]
        return lines
    }

    private var usage: [String] {
        var table = TextTable(columns: [
            TextTable.Column("the daemon"), TextTable.Column("memory", .trailing),
            TextTable.Column("descriptors", .trailing), TextTable.Column("threads", .trailing),
        ])
        for (when, usage) in moments {
            guard let usage else { continue }
            table.append([
                TextTable.Cell(when), "\(HumanSize(bytes: usage.memory))", "\(usage.descriptors)",
                "\(usage.threads)",
            ])
        }
        guard !table.rows.isEmpty else { return ["The daemon can't be looked into.", ""] }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour) + [""]
    }

    private var moments: [(String, ProcessUsage?)] {
        [
            ("before", report.before), ("after a tenth of the time", report.early),
            ("after nine tenths", report.late), ("with all gone again", report.after),
        ]
    }

    private var verdict: String {
        if report.isClean { return "Nothing is lost." }
        var what: [String] = []
        if !report.lostUpdates.isEmpty {
            what.append("updates of \(report.lostUpdates.prefix(5).joined(separator: ", "))")
        }
        if report.lostEvents > 0 { what.append("\(report.lostEvents) events") }
        if report.lostConnections > 0 { what.append("\(report.lostConnections) connections") }
        if report.errors > 0 { what.append("\(report.errors) submits were refused") }
        if report.leaksDescriptors { what.append("descriptors were kept") }
        return "LOST: " + what.joined(separator: "; ")
    }

    /// One object on one line.
    var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        for (name, count) in [
            ("commits", report.commits), ("unchanged", report.unchanged),
            ("conflicts", report.conflicts), ("errors", report.errors),
            ("events", report.events), ("droppedEvents", report.droppedEvents),
            ("lostEvents", report.lostEvents), ("lostConnections", report.lostConnections),
            ("lostUpdates", UInt64(report.lostUpdates.count)), ("nanoseconds", report.nanoseconds),
            ("submitsPerSecond", UInt64(report.throughput)),
        ] {
            writer.key(named: name)
            writer.integer(count)
        }
        writer.key("latencyNanoseconds")
        writer.beginObject()
        for (name, time) in [
            ("p50", report.latency.p50), ("p90", report.latency.p90), ("p99", report.latency.p99),
            ("p999", report.latency.p999), ("max", report.latency.max),
        ] {
            writer.key(named: name)
            writer.integer(time)
        }
        writer.endObject()
        writer.key("daemon")
        writer.beginObject()
        for (name, usage) in zip(["before", "early", "late", "after"], moments.map(\.1)) {
            guard let usage else { continue }
            writer.key(named: name)
            writer.beginObject()
            writer.key("memoryBytes")
            writer.integer(usage.memory)
            writer.key("descriptors")
            writer.integer(usage.descriptors)
            writer.key("threads")
            writer.integer(usage.threads)
            writer.endObject()
        }
        writer.endObject()
        writer.key("clean")
        writer.bool(report.isClean)
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}
