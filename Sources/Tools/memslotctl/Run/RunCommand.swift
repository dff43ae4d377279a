import ArgumentParser
import CRunRecord
import Glibc
import MemslotPicture
import MemslotTrace
import Memslots

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Start a VMM, and record, report or make atomic its changes of guest memory.",
        discussion: """
            A library is preloaded between COMMAND and /dev/kvm; the VMM itself is not changed. \
            --record and --report only observe. --atomic defers the VMM's slot calls, \
            returns what the kernel would, and commits them together: no vCPU runs while memory is half changed.

              memslotctl run --record boot.jsonl --report -- qemu-system-x86_64 -accel kvm …

            --socket serves each VM, read-only, while the VMM runs; each transaction is an event. \
            Try 'memslotctl watch --socket PATH' at the same time.

            Without --atomic calls are only recorded. The exit status is COMMAND's; 2 if it can't \
            be preloaded, 70 if --atomic had to stop it. With -daemonize among the VMM's words \
            this command returns when the VMM is in the background, and goes on there. Docs/Run.md describes the limits.
            """)

    @Option(help: "Write the VMM's slot calls to this file, as a scenario.", completion: .file())
    var record: String?

    @Option(
        help: "Write the first VM's calls to this file as raw operations, for conform.",
        completion: .file())
    var raw: String?

    @Flag(help: "Commit the VMM's calls as transactions.") var atomic = false

    @Flag(
        help: """
            Become the VMM, for a supervisor that signals and measures the process that it started; \
            a process in the background writes the files.
            """)
    var inPlace = false

    // A word, because a value that an option without one can't read is taken for none.
    @Option(
        name: .customLong("report"), defaultAsFlag: ReportForm.full.rawValue, parsing: .next,
        help: ArgumentHelp(
            """
            Print a report of the VMM's changes to standard error at the end; with =summary its \
            totals alone.
            """, valueName: "report"), completion: .list(ReportForm.allCases.map(\.rawValue)))
    var reportWord: String?

    var report: ReportForm? { reportWord.flatMap(ReportForm.init(rawValue:)) }

    @Option(help: "Write the report to this file instead.", completion: .file())
    var reportFile: String?

    @Option(
        help: ArgumentHelp(
            "Serve the VMs on this socket while they run, and send each transaction as it ends.",
            valueName: "path"), completion: .file())
    var socket: String?

    @Option(
        help: "Write the report as one page, with a time axis and the map at each moment.",
        completion: .file(extensions: ["html"]))
    var html: String?

    @Option(help: "Draw the calls and holes over time, as SVG.", completion: .file())
    var svg: String?

    @Option(
        help: "Compare the slots with this output of QEMU's 'info mtree -f'.", completion: .file())
    var mtree: String?

    @Option(
        help: "With --atomic: commit after a thread made no slot call for this many microseconds.")
    var quietUs: UInt64 = 500

    @Option(
        help: ArgumentHelp(
            "With --atomic: for how many microseconds vCPUs may be held.", valueName: "us"))
    var holdBudgetUs: UInt64?

    @Option(
        help: """
            After that: finish the transaction; pass its calls and all later ones to the kernel \
            beside the guest; or stop the VMM with status 70.
            """)
    var pastBudget: PastBudget = .finish

    @Option(
        help: ArgumentHelp(
            "With --atomic: stop the VMM if a vCPU does not leave the guest for so many seconds.",
            valueName: "s"))
    var holdLimitS: UInt64 = 30

    @Option(help: "In the record: the pause that ends a thread's transaction, in milliseconds.")
    var gapMs: UInt64 = 10
    @Option(help: .hidden) var failCall: UInt32 = 0
    @Option(help: .hidden) var room: UInt32 = CRUN_RECORD_LIMIT

    @Argument(parsing: .postTerminator, help: "The VMM and its arguments, after --.")
    var command: [String]

    func validate() throws {
        try require(!command.isEmpty, "give the VMM's command after --")
        try require(
            reportWord == nil || report != nil,
            "--report: full or summary, not '\(reportWord ?? "")'")
        try require((1...10_000_000).contains(quietUs), "--quiet-us: 1 to 10000000")
        try require((1...10_000_000).contains(holdBudgetUs ?? 1), "--hold-budget-us: 1 to 10000000")
        try require((1...3600).contains(holdLimitS), "--hold-limit-s: 1 to 3600")
        try require(
            atomic || (holdBudgetUs == nil && pastBudget == .finish),
            "--hold-budget-us and --past-budget go with --atomic")
        let isBackground = inPlace || BackgroundRun.isWanted(by: command)
        try require(
            report == nil || reportFile != nil || !isBackground,
            "a VMM with -daemonize or --in-place leaves no terminal to print a report to: use "
                + "--report-file")
        for (place, output) in outputs.enumerated() where !output.path.hasPrefix("/dev/") {
            let other = outputs[..<place].first { $0.path == output.path }
            try require(
                other == nil,
                "\(other?.option ?? "") and \(output.option) name one file, \(output.path)")
        }
        try require(
            pastBudget == .finish || holdBudgetUs != nil,
            "--past-budget goes with --hold-budget-us")
    }

    func run() throws {
        do { try execute() } catch let failure as RunFailure {
            Terminal.complain("memslotctl run: \(failure.message)")
            throw ExitCode.unusable
        }
    }

    private func execute() throws {
        let program = try ProgramFile(finding: command[0])
        try program.checkPreloadable()
        let inherited = InheritedDescriptors()
        let ignored = ChildProgram.ignoredSignals
        for output in outputs {
            try converting(
                { (errno: Errno) in
                    RunFailure("\(output.option) \(output.path): can't be written: \(errno.name)")
                }, OutputFile.check(output.path))
        }
        // Before there is a thread.
        let background: BackgroundRun?
        if BackgroundRun.isWanted(by: command) {
            background = try BackgroundRun(ignoring: ignored, inherited)
        } else {
            background = inPlace ? try BackgroundRun(becoming: program.path, inherited) : nil
        }
        // A file that exceeds the limit of `ulimit -f` is an error, and does not end the run.
        signal(SIGXFSZ, SIG_IGN)
        var header = crun_header()
        header.mode = (atomic ? CRUN_ATOMIC : 0) | (socket != nil || record != nil ? CRUN_LIVE : 0)
        header.room = room
        header.quiet = quietUs * 1000
        header.hold_budget = (holdBudgetUs ?? 0) * 1000
        header.past_budget = pastBudget.code
        header.hold_limit = holdLimitS * 1_000_000_000
        header.fault_call = failCall
        let memory = try RunMemory(header)
        let child = ChildProgram(
            path: program.path, library: try PreloadLibrary.path(),
            memory: (atomic ? CRUN_ATOMICALLY : "") + memory.path, ignored: ignored,
            inherited: inherited)
        let settings = settings
        let file = try record.map { try RunRecordFile(at: $0, memory, settings) }
        let live = try socket.map { try LiveRun(memory, isAtomic: atomic, settings, at: $0) }
        var status: Int32?
        do {
            if let background, background.isInPlace {
                background.followVMM(in: child.environment)
                memory.waitForPrograms()
            } else {
                status = try child.runToEnd { background?.leave($0) }
            }
        } catch {
            live?.end(nil, status: nil)
            _ = file?.end(nil)
            throw error
        }
        let outcome = RunOutcome(memory.withBytes { RunRecording($0) }, self)
        live?.end(outcome, status: status)
        let failure = file?.end(outcome.recording)
        let isWhole = try outcome.write(status)
        if let failure { Terminal.complain("memslotctl run: \(failure)") }
        // The VMM's own failure is what a supervisor must see.
        let own = failure == nil && isWhole ? ExitCode.success : .failure
        throw status.map { $0 == 0 ? own : ExitCode($0) } ?? own
    }

    private var outputs: [(option: String, path: String)] {
        [
            ("--record", record), ("--raw", raw), ("--report-file", reportFile),
            ("--html", html), ("--svg", svg),
        ].compactMap { option, path in path.map { (option, $0) } }
    }

    var settings: TraceImporter.Options {
        var settings = TraceImporter.Options()
        settings.name = command[0].split(separator: "/").last.map(String.init) ?? command[0]
        settings.gapMilliseconds = gapMs
        settings.source =
            "recorded by memslotctl run" + (atomic ? " --atomic" : "") + ": "
            + Terminal.safe(command.joined(separator: " "))
        return settings
    }
}

enum ReportForm: String, CaseIterable { case full, summary }

enum PastBudget: String, ExpressibleByArgument, CaseIterable {
    case finish, pass, stop

    var code: UInt32 {
        switch self {
        case .finish: CRUN_FINISH
        case .pass: CRUN_PASS
        case .stop: CRUN_STOP
        }
    }
}

struct RunFailure: Error {
    let message: String

    init(_ message: String) { self.message = message }

    /// With the errno of the last system call.
    static func last(_ text: String) -> RunFailure { RunFailure("\(text): \(Errno.last)") }
}
