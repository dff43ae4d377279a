import Foundation
import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

/// Runs what messages suggest, as it is printed.
@Suite(
    "hints work word by word", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct HintTests {
    /// Runs a command line of a message in a shell.
    private func follow(
        _ command: some StringProtocol, in directory: ScratchDirectory, path: String? = nil
    ) throws -> CommandRun.Outcome {
        let prefix = path.map { "PATH='\($0)':$PATH; " } ?? ""
        return try CommandRun(
            ["-c", prefix + command], program: "/bin/sh", in: directory.path
        ).outcome()
    }

    /// What stands after `start` in its line.
    private func rest(of text: String, after start: String) throws -> Substring {
        let range = try #require(text.range(of: start), "\(start) is not in: \(text)")
        return text[range.upperBound...].prefix { $0 != "\n" }
    }

    /// The commands in quotes.
    private func quoted(_ text: String) -> [Substring] {
        text.split(separator: "'").filter { $0.contains("memslotctl ") && !$0.contains("\n") }
    }

    @Test("the command that starts a daemon starts one, also with a path to quote")
    func start() throws {
        let scratch = try ScratchDirectory()
        let socket = scratch.path("it's a folder") + "/s"
        let lost = try CommandRun(["list", "--socket", socket], in: scratch.path).outcome()
        #expect(lost.status == 1)
        let command = try rest(of: lost.errors, after: "Start a daemon with: ")
        let daemon = ChildProcess()
        daemon.executableURL = URL(fileURLWithPath: "/bin/sh")
        daemon.arguments = ["-c", "exec \(command)"]
        daemon.standardError = FileHandle.nullDevice
        try daemon.run()
        try waitUntil("the socket") { access(socket, F_OK) == 0 }
        let list = try CommandRun(["list", "--socket", socket], in: scratch.path).outcome()
        let create = try rest(of: list.output, after: "Create one with: ")
        let created = try follow(create, in: scratch)
        #expect(created.status == 0, "\(created.errors)")
        let again = try CommandRun(["list", "--socket", socket], in: scratch.path).outcome()
        #expect(again.output.contains("NAME"))
        daemon.terminate()
        daemon.waitUntilExit()
    }

    @Test("what an error says to do works, on the same daemon and for the same VM")
    func errors() throws {
        let daemon = try DaemonProcess()
        let gone = try daemon.run("get", "a VM's")
        #expect(gone.status == 1)
        for command in ["list", "create 'a VM'\\''s'"] {
            let all = "memslotctl \(command) --socket \(daemon.socket)'"
            let hint = try #require(gone.errors.range(of: all), "\(gone.errors)")
            let start = gone.errors[..<hint.lowerBound].lastIndex(of: "'")
            let line = gone.errors[try #require(start)..<hint.upperBound].dropFirst().dropLast()
            let followed = try follow(line, in: daemon.directory)
            #expect(followed.status == 0, "\(line): \(followed.errors)")
        }
        #expect(try daemon.run("list").output.contains("a VM's"))
    }

    @Test("each command among the remedies of errors exists and works")
    func remedies() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        // Sources/Tools/memslotctl/Client/Refusal.swift has commands in braces.
        let source = try String(
            contentsOfFile: Repository.path("Sources/Tools/memslotctl/Client/Refusal.swift"),
            encoding: .utf8)
        let table = try #require(source.range(of: "enum Remedy"))
        let commands = source[table.lowerBound...].split(separator: "{").dropFirst().compactMap {
            $0.contains("}") ? $0.prefix { $0 != "}" } : nil
        }.filter { !$0.contains("\n") }
        #expect(Set(commands).count >= 10, "\(commands)")
        var number = 0
        for command in commands {
            number += 1
            let vm = command.hasPrefix("create") ? "new" : "web"
            var words = command.split(separator: " ").map {
                ["VM": vm, "NAME": "ram\(number)", "SIZE": "1M"][$0] ?? String($0)
            }
            if command.hasPrefix("destroy") { words[1] = "new" }
            words += ["--socket", daemon.socket]
            let run = try CommandRun(words, in: daemon.directory.path).outcome()
            // A simulated VM without the flag has no guest_memfd, which the command's error says.
            let isMemfd = command.contains("guest-memfd")
            #expect(run.status == 0 || (isMemfd && run.status == 1), "\(words): \(run.errors)")
        }
    }

    @Test("the errors of an array lead to its lines, and their commands work")
    func array() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        try daemon.run("memory", "create", "web", "ram", "--size", "1M")
        let file = try daemon.file(
            "bad.json",
            """
            [{"guestPhysicalAddress": "0xf000000000000000", "size": 4096, "memory": "ram"},
             {"guestPhysicalAddress": "0x1000", "size": 4096, "memory": "ram", "memoryOffset": 1},
             {"guestPhysicalAddress": "0x2000", "size": 4096, "memory": "rom"}]
            """)
        let refused = try daemon.run("submit", "web", file)
        #expect(refused.status == 1)
        for (line, text) in [(1, "info"), (2, "memory list web"), (3, "memory create web NAME")] {
            let all = refused.errors.split(separator: "\n").filter {
                $0.hasPrefix("\(file):\(line):")
            }
            let commands = all.flatMap { quoted(String($0)) }
            #expect(commands.count == 1 && commands[0].contains(text), "\(refused.errors)")
            let command = (commands.first ?? "false").replacingOccurrences(of: "SIZE", with: "1M")
            let followed = try follow(command, in: daemon.directory)
            #expect(followed.status == 0, "\(command): \(followed.errors)")
        }
    }

    @Test("a misplaced size is named, and the right order works")
    func misplaced() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "demo", "--backend", "simulated")
        for words in [["demo", "ram", "1G"], ["demo", "1G", "rom"], ["1G", "demo", "top"]] {
            let run = try CommandRun(
                ["memory", "create"] + words + ["--socket", daemon.socket],
                in: daemon.directory.path
            ).outcome()
            #expect(run.status == 64 && run.errors.contains("'1G' is misplaced"), "\(run.errors)")
            let order = try rest(of: run.errors, after: "the right order: ")
            let followed = try follow(order, in: daemon.directory)
            #expect(followed.output.contains("is created: 1 GiB"), "\(order): \(followed.errors)")
            let help = try rest(of: run.errors, after: "See '").prefix { $0 != "'" }
            let folder = (Executable.memslotctl ?? "").split(separator: "/").dropLast()
            let helped = try follow(
                help, in: daemon.directory, path: "/" + folder.joined(separator: "/"))
            #expect(helped.status == 0 && helped.output.contains("USAGE"))
        }
        let other = try daemon.run("memory", "create", "demo", "one", "two", "--size", "1M")
        #expect(other.status == 64 && other.errors.contains("'two' is misplaced"))
        #expect(try daemon.run("memory", "list", "demo").output.split(separator: "\n").count == 4)
    }

    @Test("a state directory that others may open is closed as the daemon says")
    func closed() throws {
        let scratch = try ScratchDirectory()
        mkdir(scratch.path("it is"), 0o755)
        let path = scratch.path("it is")
        let refused = try DaemonProcess(arguments: ["--state-dir", path])
        #expect(!refused.isReady)
        let fix = try rest(of: refused.log, after: "; use ").prefix { $0 != "\"" }
        #expect(fix.hasPrefix("chmod 0700 ") && fix.contains(path))
        #expect(try follow(fix, in: scratch).status == 0)
        #expect(try DaemonProcess(arguments: ["--state-dir", path]).isReady)
    }

    /// A folder as SwiftPM builds into, with copies of `programs`, and a `swift` in `tools` that
    /// "builds" a product there by copying it.
    private func build(_ programs: String...) throws -> (ScratchDirectory, folder: String) {
        let scratch = try ScratchDirectory()
        let folder = scratch.path("a-package/.build/x86_64-unknown-linux-gnu/debug")
        for path in [folder, scratch.path("tools")] {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        }
        try scratch.write("".utf8, to: "a-package/Package.swift")
        for name in programs {
            let program = try #require(BuiltProducts.path(of: name), "\(name) is not built")
            try FileManager.default.copyItem(atPath: program, toPath: folder + "/" + name)
        }
        let built = (Executable.memslotctl ?? "").split(separator: "/").dropLast()
        let swift = try scratch.write(
            """
            #!/bin/sh
            set -e
            [ "$1 $2 $4 $6 $8" = "build --package-path --scratch-path -c --product" ]
            [ -e "$3/Package.swift" ]
            case $9 in memslots-preload) file=libmemslots-preload.so ;; *) file=$9 ;; esac
            cp "/\(built.joined(separator: "/"))/$file" "$5/x86_64-unknown-linux-gnu/$7/"
            """.utf8, to: "tools/swift")
        chmod(swift, 0o755)
        return (scratch, folder)
    }

    @Test(
        "a program without its library, or without another program, says how to build it there",
        .enabled(
            if: BuiltProducts.path(of: "libmemslots-preload.so") != nil
                && Executable.memslotLab != nil, "the library or memslot-lab is not built"))
    func missing() throws {
        let (scratch, folder) = try build("memslotctl", "memslot-lab")
        for (program, words) in [
            ("memslotctl", ["run", "--", "true"]),
            ("memslot-lab", ["load", "--seconds", "1"]),
        ] {
            let run = {
                try CommandRun(words, program: "\(folder)/\(program)", in: scratch.path).outcome()
            }
            let failed = try run()
            #expect(failed.status != 0)
            let hint = try rest(of: failed.errors, after: "build it with: ")
            let built = try follow(hint, in: scratch, path: scratch.path("tools"))
            #expect(built.status == 0, "\(hint): \(built.errors)")
            let again = try run()
            #expect(again.status == 0, "\(words): \(again.errors)")
        }
        unlink("\(folder)/memslotd")
        let crash = try CommandRun(
            ["crash", "--rounds", "1"], program: "\(folder)/memslot-lab", in: scratch.path
        ).outcome()
        #expect(crash.status != 0 && crash.errors.contains("--product memslotd"))
        // Installed there is no build to repeat.
        let elsewhere = scratch.path("memslotctl")
        try FileManager.default.copyItem(atPath: "\(folder)/memslotctl", toPath: elsewhere)
        let installed = try CommandRun(
            ["run", "--", "true"], program: elsewhere, in: scratch.path
        ).outcome()
        #expect(installed.status == 2)
        #expect(installed.errors.contains("install the package memslots"), "\(installed.errors)")
    }

    @Test("the first command that --help suggests works in a checkout, and installed")
    func example() throws {
        let scratch = try ScratchDirectory()
        let installed = scratch.path("share/doc/memslots/examples")
        try FileManager.default.createDirectory(
            atPath: installed, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: Repository.fixture("qemu/q35-seabios-boot.jsonl").path,
            toPath: installed + "/q35-seabios-boot.jsonl")
        mkdir(scratch.path("bin"), 0o755)
        let program = try #require(Executable.memslotctl)
        try FileManager.default.copyItem(atPath: program, toPath: scratch.path("bin/memslotctl"))
        for (path, folder) in [
            (program, Repository.path("")), (scratch.path("bin/memslotctl"), "/"),
        ] {
            let help = try CommandRun(["--help"], program: path, in: scratch.path).outcome().output
            // The help is folded at 80 columns, which a path of the tests may reach.
            let start = try #require(help.range(of: "Start with:")).upperBound
            let end = try #require(help.range(of: "USAGE")).lowerBound
            let words = help[start..<end].split(whereSeparator: \.isWhitespace).dropFirst()
                .joined(separator: " ")
            let run = try CommandRun(
                ["-c", "cd '\(folder)' && '\(path)' \(words)"], program: "/bin/sh",
                in: scratch.path
            ).outcome()
            #expect(run.output.contains("10 transactions"), "\(words): \(run.errors)")
        }
    }

    @Test("a command that does not exist leads to one that does")
    func commands() throws {
        let scratch = try ScratchDirectory()
        let unknown = try CommandRun(["frobnicate"], in: scratch.path).outcome()
        #expect(unknown.status == 64)
        let meant = try rest(of: unknown.errors, after: "did you mean '").dropLast(2)
        let help = try CommandRun([String(meant), "--help"], in: scratch.path).outcome()
        #expect(help.output.contains("memslotctl \(meant)"), "\(help.errors)")
        for name in ["conform", "torture", "sweep", "exhaust", "simulate", "load", "crash"] {
            let moved = try CommandRun([name], in: scratch.path).outcome()
            #expect(moved.status == 64)
            let command = try rest(of: moved.errors, after: "it is ")
            guard Executable.memslotLab != nil else { continue }
            let followed = try follow("\(command) --help", in: scratch)
            #expect(followed.output.contains("memslot-lab \(name)"), "\(followed.errors)")
        }
    }
}
