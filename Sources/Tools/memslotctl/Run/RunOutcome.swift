import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

/// The recording of a run, and the files and reports made of it.
struct RunOutcome {
    let command: [String]
    let recording: RunRecording
    let isAtomic: Bool
    let settings: TraceImporter.Options
    /// The VMM's calls as transactions; `nil` if none succeeded.
    let asked: TraceImport?
    /// The commits as transactions, under `--atomic`.
    let committed: TraceImport?

    init(
        command: [String], recording: RunRecording, isAtomic: Bool,
        settings: TraceImporter.Options
    ) {
        self.command = command
        self.recording = recording
        self.isAtomic = isAtomic
        self.settings = settings
        asked = try? recording.imported(options: settings)
        committed = isAtomic ? try? recording.importedCommits(options: settings) : nil
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
        guard let imported = asked else {
            Terminal.complain("memslotctl run: no slot call was recorded")
            return
        }
        try report(imported, options)
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
        } else if let form = options.report {
            Terminal.complain(form == .full ? audit.text : audit.totals)
        } else if isAtomic {
            Terminal.complain(audit.summary)
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
