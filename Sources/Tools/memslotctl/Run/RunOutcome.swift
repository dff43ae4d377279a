import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

/// The recording of a run, and the files and reports made of it.
///
/// A class, because transactions are made of the records once, and only if they are asked for.
final class RunOutcome {
    let command: [String]
    let recording: RunRecording
    let isAtomic: Bool
    let settings: TraceImporter.Options
    /// The VMM's calls as transactions; `nil` if none succeeded.
    private(set) lazy var asked = try? recording.imported(options: settings)
    /// The commits as transactions, under `--atomic`.
    private(set) lazy var committed =
        isAtomic ? try? recording.importedCommits(options: settings) : nil

    init(
        command: [String], recording: RunRecording, isAtomic: Bool,
        settings: TraceImporter.Options
    ) {
        self.command = command
        self.recording = recording
        self.isAtomic = isAtomic
        self.settings = settings
    }

    /// The calls that the kernel executed, as transactions.
    var seen: TraceImport? { isAtomic ? committed : asked }

    /// Writes the files and reports that `options` request.
    func write(_ options: RunCommand) throws {
        if recording.wasStopped {
            Terminal.complain("memslotctl run: the VMM was stopped, see above")
        }
        guard recording.attached > 0 else {
            Terminal.complain(
                "memslotctl run: the library was not loaded into \(command[0]), so nothing was "
                    + "recorded: it is statically linked, or runs in its own container")
            throw ExitCode.unusable
        }
        if let path = options.raw { try OutputFile.write(recording.rawLines(of: 0), to: path) }
        let needsCalls =
            options.report == .full || options.reportFile != nil || options.html != nil
            || options.svg != nil
        guard recording.asked.contains(where: { $0.errno == nil }), !needsCalls || asked != nil
        else {
            Terminal.complain("memslotctl run: no slot call was recorded")
            return
        }
        if options.reportFile == nil, options.report == .summary {
            Terminal.complain(totals.text)
        } else if options.reportFile == nil, options.report == nil, isAtomic {
            Terminal.complain(totals.summary)
        }
        if needsCalls, let asked { try report(asked, options) }
    }

    private var totals: RunTotals {
        RunTotals(
            recording, name: settings.name, isAtomic: isAtomic,
            transactions: isAtomic || recording.lost > 0
                ? nil : asked?.scenario.transactions.count)
    }

    private func report(_ imported: TraceImport, _ options: RunCommand) throws {
        var audit = RunAudit(recording: recording, imported: imported, isAtomic: isAtomic)
        if let path = options.mtree {
            let text = try InputFile(path).bytes()
            audit.flatView = FlatViewText(String(decoding: text, as: UTF8.self))
        }
        audit.committed = committed
        if let path = options.reportFile {
            try OutputFile.write(Array(audit.text.utf8), to: path)
        } else if options.report == .full {
            Terminal.complain(audit.text)
        }
        if let path = options.html {
            var shown = committed ?? imported
            shown.report.view = audit.flatView
            let holds = recording.commits.map { commit in
                let begin = commit.heldSince.rawValue
                return begin..<begin.addingSaturated(commit.heldNanoseconds)
            }
            try OutputFile.write(ReportDocument(shown, holds: holds).page, to: path)
        }
        if let path = options.svg {
            try OutputFile.write(Array(audit.timeline.svg(title: settings.name).utf8), to: path)
        }
    }
}
