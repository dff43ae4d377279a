import ArgumentParser
import MemslotKVM
public import MemslotLab
import MemslotPicture
import MemslotProtocol
public import MemslotTestKit

struct TortureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "torture",
        abstract: "Change slots under running vCPUs, and count what they see of it.",
        discussion: """
            A guest goes round a region of memory, again and again, while transactions replace the \
            slots under it. Every array shows it the same host pages, so that it should see \
            nothing. "naive" makes the same calls with nobody held out: the control.

              memslotctl torture --change split
              memslotctl torture --change split --mode naive

            Exit status: 0 nothing was seen or lost, or the mode is naive; 1 something was;
            2 the torture could not be carried through; 3 no /dev/kvm.
            """)

    @Option(help: "kvm or simulated.")
    var backend: TortureBackend = .kvm

    @Option(help: "real or long: 16-bit real mode, or 64-bit user mode.")
    var guest: GuestKind = .real

    @Option(help: ArgumentHelp("1 to 64.", valueName: "n"))
    var vcpus: Int = 2

    @Option(help: ArgumentHelp("How many are made.", valueName: "n"))
    var transactions: Int = 3_000

    @Option(help: "atomic or naive.")
    var mode: TortureMode = .atomic

    @Option(help: "split, merge, resize, move, swap, remap, romd or mix.")
    var change: TortureChange = .mix

    @Flag(help: "Put the guest's code into the region too.")
    var codeInRegion = false

    @Option(help: "cleared, manual, initially-set or ring: how the kernel keeps the dirty log.")
    var dirtyLog: TortureDirtyLog = .cleared

    @Option(help: ArgumentHelp("Repeats the random choices.", valueName: "s"))
    var seed: UInt64 = 1

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    /// Fewer transactions are made before a bar could be read.
    private static let shortestWithBar = 500

    func run() throws {
        let report: TortureReport
        do throws(TortureError) {
            report = try carryThrough()
        } catch {
            Terminal.complain(error.message)
            throw error.exitCode
        }
        let text = TortureText(options: options, report: report)
        if json { Terminal.write(text.json) } else { Terminal.print(text.lines) }
        if mode == .atomic && !report.isClean { throw ExitCode(1) }
    }

    private func carryThrough() throws(TortureError) -> TortureReport {
        let torture = try Torture(options)
        if !json { Terminal.print(TortureText.heading(options)) }
        var bar = ProgressBar(total: json ? nil : transactions, shortest: Self.shortestWithBar)
        defer { bar.end() }
        return try torture.run { bar.show($0) }
    }

    private var options: TortureOptions {
        var options = TortureOptions()
        options.backend = backend
        options.guest = guest
        options.vcpus = vcpus
        options.transactions = transactions
        options.mode = mode
        options.change = change
        options.codeInRegion = codeInRegion
        options.dirtyLog = dirtyLog.mode
        options.seed = seed
        return options
    }
}

/// The dirty log's modes by the words of the command line.
enum TortureDirtyLog: String, ExpressibleByArgument, CaseIterable {
    case cleared
    case manual
    case initiallySet = "initially-set"
    case ring

    var mode: DirtyLogMode {
        switch self {
        case .cleared: .clearedByReading
        case .manual: .manual
        case .initiallySet: .manualInitiallySet
        case .ring: .ring(bytes: 65_536)
        }
    }
}

extension TortureBackend: ExpressibleByArgument {}
extension TortureMode: ExpressibleByArgument {}
extension TortureChange: ExpressibleByArgument {}
extension GuestKind: ExpressibleByArgument {}

extension TortureError {
    fileprivate var exitCode: ExitCode {
        switch self {
        case .kvm(.deviceMissing), .kvm(.permissionDenied), .kvm(.unsupportedVersion),
            .kvm(.kernelTooOld):
            .noKVM
        default: ExitCode(2)
        }
    }
}

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
