import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

/// What a run left, and the files and words that are made of it.
struct RunOutcome {
    let command: [String]
    let recording: RunRecording
    let isAtomic: Bool
    let settings: TraceImporter.Options
    /// The VMM's calls as transactions; `nil` where none succeeded.
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

    /// What the kernel saw.
    var seen: TraceImport? { isAtomic ? committed : asked }

    /// Writes what was asked for.
    func write(_ options: RunCommand) throws {
        if recording.wasStopped {
            Terminal.complain("memslotctl run: the VMM was stopped, see above")
        }
        guard recording.attached > 0 else {
            Terminal.complain(
                "memslotctl run: the library was not loaded into \(command[0]), so nothing is "
                    + "known of it: statically linked, or in a container of its own")
            throw ExitCode.unusable
        }
        if let path = options.raw { try save(recording.rawLines(of: 0), to: path) }
        guard let imported = asked else {
            Terminal.complain("memslotctl run: no slot call was recorded")
            return
        }
        if let path = options.record {
            var bytes: [UInt8] = []
            recording.forEachLine(of: imported.scenario) { bytes += $0 }
            try save(bytes, to: path)
        }
        try judge(imported, options)
    }

    private func judge(_ imported: TraceImport, _ options: RunCommand) throws {
        var audit = RunAudit(recording: recording, imported: imported, isAtomic: isAtomic)
        if let path = options.mtree {
            let text = try InputFile(path).bytes()
            audit.flatView = FlatViewText(String(decoding: text, as: UTF8.self))
        }
        audit.committed = committed
        if let path = options.reportFile {
            try save(Array(audit.text.utf8), to: path)
        } else if options.report {
            Terminal.writeError(audit.text)
        } else if isAtomic {
            Terminal.complain(audit.summary)
        }
        if let path = options.svg {
            try save(Array(audit.timeline.svg(title: settings.name).utf8), to: path)
        }
    }

    private func save(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        var rest = bytes[...]
        while file >= 0, !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            rest = rest.dropFirst(count)
        }
        guard file >= 0, rest.isEmpty, close(file) == 0 else {
            Terminal.complain(
                "memslotctl run: \(path) can't be written: \(Errno(rawValue: errno))")
            throw ExitCode.failure
        }
    }
}
