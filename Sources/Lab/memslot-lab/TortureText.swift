import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotTestKit

/// A torture's report, for a person and for a program.
struct TortureText {
    let options: TortureOptions
    let report: TortureReport

    /// What is about to be done.
    static func heading(_ options: TortureOptions) -> [String] {
        let vcpus = options.vcpus == 1 ? "1 vCPU" : "\(options.vcpus) vCPUs"
        let who: String
        switch options.backend {
        case .simulated: who = "\(vcpus) of a simulated VM, threads that touch and look,"
        case .kvm:
            let code = options.codeInRegion ? ", its code among them," : ""
            let does = options.change == .romd ? "read" : "increment numbers in"
            let mode = options.guest == .real ? "16-bit real mode" : "64-bit user mode"
            who = "\(vcpus) in \(mode) \(does) 16 pages\(code)"
        }
        let held =
            options.mode == .atomic
            ? "vCPUs are held out by the gate" : "nobody is held out (the control)"
        return [
            "\(who) while \(options.transactions) transactions \(options.change.words).",
            "The same host pages are there in every array; \(held).", "",
        ]
    }

    /// What was found.
    var lines: [String] {
        var table = TextTable(columns: [
            TextTable.Column("count", .trailing), TextTable.Column("of what"),
        ])
        func row(_ count: UInt64, _ what: String, isFault: Bool) {
            table.append([
                TextTable.Cell("\(count)", ink: isFault && count > 0 ? .red : .plain),
                TextTable.Cell(what),
            ])
        }
        row(UInt64(report.transactions), "transactions", isFault: false)
        row(report.slotCalls, "slot calls", isFault: false)
        row(report.rounds, "rounds of the guest", isFault: false)
        row(report.spuriousExits, "spurious MMIO exits", isFault: true)
        row(report.emulationFailures, "emulation failures", isFault: true)
        row(report.lostIncrements, "lost increments", isFault: true)
        row(report.lostDirtyPages, "lost dirty pages of \(report.dirtyPages)", isFault: true)
        return table.lines(width: Terminal.width, colour: Terminal.usesColour)
            + [""] + blackout + [verdict]
    }

    private var blackout: [String] {
        let times = report.blackout
        guard times.count > 0 else { return [] }
        let named = [
            ("p50", times.p50), ("p90", times.p90), ("p99", times.p99), ("p99.9", times.p999),
            ("max", times.max),
        ]
        let words = named.map { "\($0.0) \(HumanDuration(nanoseconds: $0.1))" }
        return [
            "vCPUs were held out \(times.count) times: " + words.joined(separator: ", "), "",
        ]
    }

    private var verdict: String {
        let time = HumanDuration(nanoseconds: report.nanoseconds)
        if report.isClean { return "The guest saw nothing, and nothing is lost. \(time)." }
        let seen = "\(report.transactionsHit) of \(report.transactions) transactions"
        switch options.mode {
        case .naive: return "The guest saw \(seen): this is what the gate is for. \(time)."
        case .atomic: return "NOT ATOMIC: the guest saw \(seen), or something is lost. \(time)."
        }
    }

    /// One object on one line.
    var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("transactions")
        writer.integer(report.transactions)
        writer.key("spuriousExits")
        writer.integer(report.spuriousExits)
        writer.key("emulationFailures")
        writer.integer(report.emulationFailures)
        writer.key("lostIncrements")
        writer.integer(report.lostIncrements)
        writer.key("lostDirtyPages")
        writer.integer(report.lostDirtyPages)
        writer.key("blackoutNanoseconds")
        writer.blackout(report.blackout)
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}

extension JSONWriter {
    fileprivate mutating func blackout(_ times: BlackoutTimes) {
        beginObject()
        key("count")
        integer(times.count)
        key("mean")
        integer(times.mean)
        key("p50")
        integer(times.p50)
        key("p90")
        integer(times.p90)
        key("p99")
        integer(times.p99)
        key("p999")
        integer(times.p999)
        key("max")
        integer(times.max)
        endObject()
    }
}

extension TortureChange {
    fileprivate var words: String {
        switch self {
        case .split: "split the slot and make it whole"
        case .merge: "merge slots and part them"
        case .resize: "resize two slots"
        case .move: "move the slot and put another in its place"
        case .swap: "swap two slots"
        case .remap: "map the slots elsewhere"
        case .romd: "make slots read-only and writable"
        case .mix: "split, merge, resize, move, swap and remap slots"
        }
    }
}
