import ArgumentParser
import Glibc
import MemslotPicture
import MemslotScenario
import MemslotTrace
import Memslots

/// The recording of a run, and the files and reports made of it. A class, so that transactions are
/// made from the records once, and only if something needs them.
final class RunOutcome {
    let recording: RunRecording
    private let options: RunCommand
    private lazy var asked = try? recording.imported(options: options.settings)
    private lazy var committed =
        options.atomic ? try? recording.importedCommits(options: options.settings) : nil

    init(_ recording: RunRecording, _ options: RunCommand) {
        (self.recording, self.options) = (recording, options)
    }

    /// The calls that the kernel executed, as transactions.
    var seen: TraceImport? { options.atomic ? committed : asked }

    /// Writes what the options request, each whatever becomes of the others; returns whether all was.
    func write(_ status: Int32?) throws -> Bool {
        if recording.wasStopped {
            Terminal.complain("memslotctl run: the VMM was stopped, see above")
        }
        guard recording.attached > 0 else {
            if let status, status > 128 {
                Terminal.complain(
                    "memslotctl run: \(options.command[0]) was ended before the library was loaded, "
                        + "so nothing was recorded")
                return true
            }
            Terminal.complain(
                "memslotctl run: the library was not loaded into \(options.command[0]), so nothing "
                    + "was recorded: it is statically linked, or runs in its own container")
            throw ExitCode.unusable
        }
        var isWhole = true
        func write(_ bytes: @autoclosure () -> [UInt8], to path: String?) {
            guard let path else { return }
            do throws(ExitCode) { try OutputFile.write(bytes(), to: path) } catch {
                isWhole = false
            }
        }
        write(recording.rawLines(of: 0), to: options.raw)
        let needsCalls =
            options.report == .full || options.html != nil || options.svg != nil
            || options.reportFile != nil && options.report != .summary
        guard recording.asked.contains(where: { $0.errno == nil }), !needsCalls || asked != nil
        else {
            let text =
                "memslotctl run: no slot call was recorded"
                + (recording.creators.isEmpty
                    ? ": the program created no VM. Is its accelerator KVM?" : "")
            Terminal.complain(text)
            write(Array("\(text)\n".utf8), to: options.reportFile)
            return isWhole
        }
        if options.report == .summary {
            if options.reportFile == nil { Terminal.complain(totals.text) }
            write(Array(totals.text.utf8), to: options.reportFile)
        } else if options.reportFile == nil, options.report == nil, options.atomic {
            Terminal.complain(totals.summary)
        }
        guard needsCalls, let asked else { return isWhole }
        var audit = RunAudit(recording: recording, imported: asked, isAtomic: options.atomic)
        if let path = options.mtree {
            do {
                let text = try InputFile(path).bytes()
                audit.imported.report.view = FlatViewText(String(decoding: text, as: UTF8.self))
            } catch {
                Terminal.complain("memslotctl run: --mtree: \(error)")
                isWhole = false
            }
        }
        audit.committed = committed
        if options.report != .summary {
            write(Array(audit.text.utf8), to: options.reportFile)
            if options.reportFile == nil, options.report == .full { Terminal.complain(audit.text) }
        }
        write(audit.document.page, to: options.html)
        write(Array(audit.timeline.svg(title: options.settings.name).utf8), to: options.svg)
        return isWhole
    }

    private var totals: RunTotals {
        RunTotals(
            recording, name: options.settings.name, isAtomic: options.atomic,
            transactions: options.atomic || recording.lost > 0
                ? nil : asked?.scenario.transactions.count)
    }
}
