import Foundation
import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslotctl call, state and info", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct CallTests {
    @Test("call sends any method, and prints the result on one line")
    func call() throws {
        let daemon = try DaemonProcess()
        let created = try daemon.run("call", "vm.create", #"{"vm":"web","backend":"simulated"}"#)
        #expect(created.status == 0 && created.output.hasPrefix(#"{"vm":"web","backend":"simulat"#))
        #expect(created.output.split(separator: "\n").count == 1)
        #expect(try daemon.run("call", "vm.list", "--json").output.contains(#""vm":"web""#))
        let wide = try daemon.run("call", "memslots.get", "{\r\n  \"vm\":\n  \"web\"\r\n}")
        #expect(wide.output == #"{"vm":"web","generation":0,"slots":[]}"# + "\n", "\(wide.errors)")
        let file = try daemon.file("params", "{\"vm\":\n\"web\"}")
        let ctl = try #require(Executable.memslotctl)
        let piped = try CommandRun(
            ["-c", "'\(ctl)' call memslots.get - --socket \(daemon.socket) <\(file)"],
            program: "/bin/sh", in: daemon.directory.path
        ).outcome()
        #expect(piped.output == wide.output, "\(piped.errors)")
    }

    @Test("an error of call is that of other commands, and so is its exit status")
    func errors() throws {
        let daemon = try DaemonProcess()
        let unknown = try daemon.run("call", "vm.lost")
        #expect(unknown.status == 1 && unknown.output.isEmpty)
        #expect(unknown.errors.contains("there is no method \"vm.lost\"; did you mean \"vm.list\""))
        let missing = try daemon.run("call", "memslots.get", #"{"vm":"web"}"#)
        #expect(missing.status == 1 && missing.errors.contains("create web"), "\(missing.errors)")
        let bad = try daemon.run("call", "memslots.get", "{\n\"vm\"}")
        #expect(bad.status == 2)
        #expect(bad.errors.contains("the parameters:2:5: expected \":\""), "\(bad.errors)")
        let nested = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        let deep = try daemon.run("call", "memslots.get", nested)
        #expect(deep.status == 1 && deep.errors.contains("at most 64 levels"), "\(deep.errors)")
        #expect(try daemon.run("call").status == 64)
        daemon.end(by: SIGTERM)
        #expect(try daemon.run("call", "vm.list").status == 1)
    }

    @Test(
        "on a terminal the result is indented, and get prints a slot per line",
        .enabled(if: BuiltProducts.tool("python3") != nil, "there is no python3 for a terminal"))
    func terminal() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        let slots = (0..<3).map {
            #"{"guestPhysicalAddress":\#($0 * 8192),"size":4096,"userspaceAddress":4096}"#
        }
        try daemon.run("submit", "web", daemon.file("a", "[\(slots.joined(separator: ","))]"))
        let ctl = try #require(Executable.memslotctl)
        func shown(_ words: String...) throws -> String {
            let script = "import pty, sys; pty.spawn(sys.argv[1:])"
            let run = try CommandRun(
                ["-c", script, ctl] + words + ["--socket", daemon.socket],
                program: BuiltProducts.tool("python3"), in: daemon.directory.path)
            return try run.outcome().output.replacingOccurrences(of: "\r\n", with: "\n")
        }
        let text = try shown("call", "memslots.get", #"{"vm":"web"}"#)
        #expect(
            text.hasPrefix("{\n  \"vm\": \"web\",\n  \"generation\": 1,\n  \"slots\": [\n    {"))
        #expect(text.hasSuffix("}\n  ]\n}\n") && text.split(separator: "\n").count == 9, "\(text)")
        #expect(try JSONDocument(parsing: text).root["slots"]?.list.count == 3)
        #expect(try daemon.run("get", "web").output == text)
        let info = try JSONDocument(parsing: shown("call", "server.info")).root
        #expect(info["limits"]?["lineBytes"]?.int == 16_777_216)
        #expect(try shown("call", "vm.list", "--json").split(separator: "\n").count == 1)
    }

    @Test("completions know the methods")
    func completions() throws {
        let scratch = try ScratchDirectory()
        for shell in ["bash", "zsh", "fish"] {
            let script = try CommandRun(
                ["--generate-completion-script", shell], in: scratch.path
            ).outcome().output
            for method in Method.allCases {
                #expect(script.contains(method.rawValue), "\(shell): \(method.rawValue)")
            }
        }
    }

    @Test("a damaged record is in every log and in info, and state repairs it")
    func damaged() throws {
        let scratch = try ScratchDirectory()
        let first = try DaemonProcess(arguments: ["--state-dir", scratch.state])
        try first.run("create", "web", "--backend", "simulated")
        let running = try first.run("call", "vm.list")
        #expect(running.status == 0)
        let ctl = { (action: String) in
            try CommandRun(["state", action, scratch.state], in: scratch.path).outcome()
        }
        let inUse = try ctl("repair")
        #expect(inUse.status == 2 && inUse.errors.contains("stop it first"), "\(inUse.errors)")
        #expect(first.end(by: SIGTERM) == 0)
        #expect(
            try ctl("check").output == "vm-1.state: valid: VM \"web\" of user 0, generation 0\n")
        var bytes = try scratch.stateBytes("vm-1.state")
        bytes[60] ^= 4
        try scratch.writeState(bytes, "vm-1.state")
        let directory = try ScratchDirectory()
        for start in 1...2 {
            let daemon = try DaemonProcess(
                in: directory, arguments: ["--state-dir", scratch.state, "--log-format", "journal"])
            // The log is written by a thread of its own.
            try waitUntil("the log of start \(start)") {
                daemon.log.split(separator: "\n").count {
                    $0.hasPrefix("<3>the record of a VM is damaged file=vm-1.state")
                } == start
            }
            let info = try daemon.run("info").output
            #expect(info.contains("damaged: vm-1.state.damaged-1: "), "\(info)")
            #expect(info.contains("memslotctl state repair \(scratch.state)\n"), "\(info)")
            #expect(daemon.end(by: SIGTERM) == 0)
        }
        #expect(try ctl("check").status == 1)
        let repaired = try ctl("repair")
        #expect(repaired.status == 0 && repaired.output.contains("vm-1.state is now VM \"web\""))
        #expect(try ctl("check").status == 0)
        unlink(scratch.state + "/vm-1.state.damaged-1")
        let last = try DaemonProcess(arguments: ["--state-dir", scratch.state])
        #expect(try last.run("list").output.contains("web"))
        #expect(!last.log.contains("damaged"))
        #expect(try ctl("mend").status == 64)
    }

    @Test(
        "root examines and repairs another user's directory as that user",
        .enabled(if: geteuid() == 0, "only root can become another user"))
    func otherUser() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(arguments: ["--state-dir", scratch.state])
        try daemon.run("create", "web", "--backend", "simulated")
        #expect(daemon.end(by: SIGTERM) == 0)
        var bytes = try scratch.stateBytes("vm-1.state")
        bytes[60] ^= 4
        try scratch.writeState(bytes, "vm-1.state")
        for name in ["", "/lock", "/vm-1.state"] { chown(scratch.state + name, 1_234, 1_235) }
        let run = try CommandRun(["state", "repair", scratch.state], in: scratch.path).outcome()
        #expect(run.status == 0, "\(run.errors)")
        for name in ["/vm-1.state", "/vm-1.state.damaged-1"] {
            var status = stat()
            #expect(stat(scratch.state + name, &status) == 0)
            #expect(status.st_uid == 1_234 && status.st_mode & 0o777 == 0o600, "\(name)")
        }
    }
}
