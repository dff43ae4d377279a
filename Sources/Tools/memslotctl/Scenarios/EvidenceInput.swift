import ArgumentParser
import Glibc
import MemslotScenario
import MemslotTrace

struct EvidenceInput {
    let name: String
    let evidence: Evidence

    /// - Parameter mayBeText: whether the argument may be a line of a log.
    init(_ argument: String, _ options: TraceImporter.Options, mayBeText: Bool = false) throws {
        var options = options
        options.name = Self.baseName(of: argument)
        let isText =
            mayBeText && argument != "-" && access(argument, F_OK) != 0
            && argument.contains(where: { $0 == "(" || $0 == "=" || $0 == ":" })
        name = isText ? "the line" : argument == "-" ? "standard input" : argument
        if isText { options.name = "line" }
        var reader = EvidenceReader(options: options)
        do {
            if isText {
                try reader.consume(Array((argument + "\n").utf8)[...])
            } else {
                try InputFile(argument).forEachChunk { try reader.consume($0) }
            }
            evidence = try reader.finish()
        } catch let fault as UnusableInput {
            throw UnusableFile(
                "\(name): \(fault.message)" + (fault.line > 1 ? " (line \(fault.line))" : ""))
        }
    }

    /// Reads evidence of several files; those of one `strace -ff` are one log.
    static func all(
        _ arguments: [String], _ options: TraceImporter.Options
    ) throws -> [EvidenceInput] {
        var groups: [(name: String, files: [(path: String, thread: UInt32)])] = []
        for argument in arguments {
            let parts = ThreadLogs.parts(of: argument)
            if let parts, let index = groups.firstIndex(where: { $0.name == parts.base }) {
                groups[index].files.append((argument, parts.thread))
            } else {
                groups.append((parts?.base ?? argument, [(argument, parts?.thread ?? 0)]))
            }
        }
        return try groups.map { group in
            guard group.files.count > 1, ThreadLogs.parts(of: group.files[0].path) != nil else {
                return try EvidenceInput(group.files[0].path, options)
            }
            return try EvidenceInput(threads: group.files, of: group.name, options)
        }
    }

    private init(
        threads: [(path: String, thread: UInt32)], of base: String, _ options: TraceImporter.Options
    ) throws {
        var logs = ThreadLogs()
        for (path, thread) in threads {
            let file = try InputFile(path)
            do { try logs.add(file.bytes(), of: thread) } catch let fault as UnusableInput {
                throw UnusableFile("\(path): \(fault.message)")
            }
        }
        name = base
        var options = options
        options.name = Self.baseName(of: base)
        options.isMerged = true
        var importer = TraceImporter(options: options)
        importer.consume(logs.merged())
        do throws(TraceError) { evidence = .calls(try importer.finish()) } catch {
            throw UnusableFile("\(base).*: \(error)")
        }
    }

    private static func baseName(of path: String) -> String {
        if path == "-" { return "trace" }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
        return String(name[..<dot])
    }
}

struct GroupingOptions: ParsableArguments {
    @Option(help: "The pause that ends a transaction, in milliseconds.") var gapMs: UInt64 = 10

    var options: TraceImporter.Options {
        var options = TraceImporter.Options()
        options.gapMilliseconds = gapMs
        return options
    }
}
