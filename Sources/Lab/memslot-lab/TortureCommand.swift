internal import ArgumentParser
import MemslotKVM
public import MemslotLab
import MemslotPicture
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
