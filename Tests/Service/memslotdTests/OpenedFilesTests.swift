import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

/// The table of SECURITY.md, and what strace sees of a daemon.
@Suite(
    "the files of the daemon", .serialized,
    .enabled(
        if: DaemonProcess.executable != nil && BuiltProducts.tool("strace") != nil, "needs strace"))
struct OpenedFilesTests {
    @Test("it opens exactly what SECURITY.md lists, as it is listed there")
    func table() throws {
        let scratch = try ScratchDirectory()
        mkdir(scratch.path("metrics"), 0o755)
        let places = [
            "SOCKET": scratch.path("d/s"), "DIRECTORY": scratch.path("d"), "STATE": scratch.state,
            "METRICS": scratch.path("metrics/m"), "OUTPUT": scratch.path("metrics"),
        ]
        let rows = try ListedFile.table(places)
        let profile = ProcessInfo.processInfo.environment["LLVM_PROFILE_FILE"] ?? ""
        var seen = Set<Int>()
        for log in [try trace(scratch, endsBy: SIGKILL), try trace(scratch, endsBy: SIGTERM)] {
            for call in log.split(separator: "\n").compactMap({ FileCall(String($0)) }) {
                // Of a build that measures coverage.
                if call.path.hasSuffix(".profraw") || profile.hasPrefix(call.path) { continue }
                let fitting = rows.indices.filter { rows[$0].matches(call) }
                #expect(!fitting.isEmpty, "not listed: \(call)")
                seen.formUnion(fitting)
            }
        }
        for (index, row) in rows.enumerated() where row.isAlwaysOpened {
            #expect(seen.contains(index), "listed, but not opened: \(row)")
        }
        try checkModes(scratch, rows)
    }

    /// Runs a daemon through everything that opens files, and returns strace's log.
    private func trace(_ scratch: ScratchDirectory, endsBy signal: Int32) throws -> String {
        let log = scratch.path("strace-\(signal)")
        let strace = BuiltProducts.tool("strace") ?? ""
        let daemon = try DaemonProcess(
            arguments: [
                "--socket", scratch.path("d/s"), "--state-dir", scratch.state, "--metrics-file",
                scratch.path("metrics/m"),
            ],
            shell: "set -- \(strace) -D -f -y -e trace=open,openat,creat,mkdir,mkdirat,bind "
                + "-o \(log) \"$@\";")
        try #require(daemon.isReady, "\(daemon.log)")
        var client = try ClientConnection(SocketPath(scratch.path("d/s")))
        if signal == SIGKILL {
            try client.makeVM("a")
            try client.result(
                "memory.create", #"{"vm":"a","memory":"m","size":4096,"backing":"memfd"}"#)
            _ = try client.ask(Line.submit("a", id: 1, pages: 1))
            _ = try client.call("vm.create", #"{"vm":"k","backend":"kvm","ephemeral":true}"#)
        }
        try waitUntil("the metrics") { access(scratch.path("metrics/m"), F_OK) == 0 }
        #expect(daemon.end(by: signal) == (signal == SIGKILL ? -SIGKILL : 0))
        // strace's own process ends after the daemon. It pads small process numbers with blanks.
        var text = ""
        try waitUntil("the end of strace's log") {
            text = try String(contentsOfFile: log, encoding: .utf8)
            return text.split(separator: "\n").contains {
                $0.split(separator: " ").prefix(2) == ["\(daemon.processID)", "+++"]
            }
        }
        return text
    }

    /// Checks the owner and the mode of each file that is left.
    private func checkModes(_ scratch: ScratchDirectory, _ rows: [ListedFile]) throws {
        var count = 0
        let files = FileManager.default.enumerator(atPath: scratch.path)?.compactMap {
            $0 as? String
        }
        for name in files ?? [] {
            let path = scratch.path(name)
            guard let row = rows.first(where: { $0.path(path) && $0.mode != nil }) else { continue }
            var status = stat()
            #expect(lstat(path, &status) == 0)
            #expect(status.st_uid == geteuid(), "\(path)")
            #expect(status.st_mode & 0o7777 == row.mode, "\(path)")
            count += 1
        }
        // Two directories, two locks, a record and its memory.
        #expect(count >= 6)
    }
}

/// A call that opens, creates or binds a file.
private struct FileCall: CustomStringConvertible {
    let path: String
    let flags: Set<Substring>
    let mode: String?

    var description: String { "\(path) \(flags.sorted().joined(separator: " ")) \(mode ?? "")" }

    init?(_ line: String) {
        let opening =
            /(?:open|openat)\((?:(?:AT_FDCWD|\d+)(?:<(.*?)>)?, )?"(.*?)", ([A-Z_|]+)(?:, (0\d+))?/
        if let match = line.firstMatch(of: opening) {
            let (folder, name) = (match.output.1 ?? "", match.output.2)
            path =
                name.hasPrefix("/") ? String(name) : name == "." ? "\(folder)" : "\(folder)/\(name)"
            flags = Set(match.output.3.split(separator: "|"))
            mode = match.output.4.map(String.init)
        } else if let match = line.firstMatch(of: /mkdir\("(.*?)", (0\d+)/) {
            (path, flags, mode) = (String(match.output.1), ["mkdir"], String(match.output.2))
        } else if let match = line.firstMatch(of: /bind\(.*sun_path="(.*?)"/) {
            (path, flags, mode) = (String(match.output.1), ["bind"], nil)
        } else {
            return nil
        }
    }
}

/// A row of SECURITY.md.
private struct ListedFile: CustomStringConvertible {
    let description: String
    let patterns: [String]
    let flags: Set<Substring>
    /// The mode on the disk; `nil` for a file that is not the daemon's.
    let mode: mode_t?
    let isAlwaysOpened: Bool

    /// The rows, for a daemon with these places.
    static func table(_ places: [String: String]) throws -> [ListedFile] {
        let text = try String(contentsOfFile: Repository.path("SECURITY.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "## Files of the daemon\n").last)
        let rows = section.components(separatedBy: "\n## ")[0].split(separator: "\n")
            .filter { $0.hasPrefix("| `") }
        try #require(rows.count > 10)
        return rows.map { ListedFile(String($0), places) }
    }

    init(_ row: String, _ places: [String: String]) {
        description = row
        let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        patterns = cells[0].matches(of: /`([^`]+)`/).map { match in
            places.reduce(String(match.output.1)) { path, place in
                path.hasPrefix(place.key) ? place.value + path.dropFirst(place.key.count) : path
            }
        }
        mode = mode_t(cells[2].prefix(4), radix: 8)
        flags = Set(cells[3].matches(of: /`([^`]+)`/).flatMap { $0.output.1.split(separator: " ") })
        isAlwaysOpened = !cells[4].contains("where")
    }

    /// Whether a pattern fits: `N` and `M` stand for numbers, `*` for anything.
    func path(_ path: String) -> Bool {
        patterns.contains { pattern in
            fnmatch(
                pattern.replacing("vm-N", with: "vm-[0-9]").replacing(
                    "memory-M", with: "memory-[0-9]"),
                path, 0) == 0
        }
    }

    func matches(_ call: FileCall) -> Bool { path(call.path) && flags == call.flags }
}
