import Foundation
import Glibc
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslotctl's errors", .serialized,
    .enabled(if: Executable.areBuilt, "memslotctl and memslotd are not built"))
struct RefusalTests {
    @Test("each faulty slot is printed with its line in the file and what to do")
    func faultyArray() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        let file = try daemon.file(
            "bad.json",
            """
            [
              {"slot": 0, "guestPhysicalAddress": 1, "size": 4096, "userspaceAddress": 4096},
              {"slot": 1, "guestPhysicalAddress": "0x100000", "size": 4096,
               "userspaceAddress": 8192},
              {"slot": 7, "guestPhysicalAddress": "0x200000", "size": 0, "memory": "nope"}
            ]
            """)
        for arguments in [["submit", "web", file], ["plan", "--vm", "web", file]] {
            let all = arguments + ["--socket", daemon.socket]
            let refused = try CommandRun(all, in: daemon.directory.path).outcome()
            #expect(refused.status == 1)
            #expect(refused.output.isEmpty)
            #expect(
                refused.errors.contains(
                    "\(file):2: slot 0: guest physical address 0x1 is not a multiple of 4096"))
            #expect(refused.errors.contains("\(file):5: slot 7: the size is 0; leave a slot out"))
            #expect(refused.errors.contains("memslotctl memory create"))
            #expect(!refused.errors.contains("slot 1:"))
        }
        #expect(try daemon.run("get", "web", "--json").output.contains(#""generation":0"#))
    }

    @Test("a file that is not an array is reported with line and column, and status 2")
    func unusableFile() throws {
        let daemon = try DaemonProcess()
        try daemon.run("create", "web", "--backend", "simulated")
        let file = try daemon.file("bad.json", "[\n  {\"slot\": 0, \"sise\": 1}\n]")
        let refused = try daemon.run("submit", "web", file)
        #expect(refused.status == 2)
        #expect(refused.errors.hasPrefix("\(file):2:"))
        #expect(refused.errors.contains("sise"))
    }

    @Test("a hint fits its command; a slot without an id has its index; map looks for a VM")
    func fitting() throws {
        let daemon = try DaemonProcess()
        for command in [["destroy", "none"], ["watch", "none"]] {
            let unknown = try CommandRun(
                command + ["--socket", daemon.socket], in: daemon.directory.path
            ).outcome()
            #expect(unknown.errors.contains("memslotctl list"), "\(unknown.errors)")
            #expect(!unknown.errors.contains("create"), "\(unknown.errors)")
        }
        #expect(try daemon.run("get", "none").errors.contains("memslotctl create none"))
        try daemon.run("create", "web", "--backend", "simulated")
        let file = try daemon.file(
            "bad.json", #"[{"guestPhysicalAddress": 1, "size": 4096, "userspaceAddress": 4096}]"#)
        #expect(try daemon.run("submit", "web", file).errors.hasPrefix("\(file):1: slots[0]: "))
        try Data(#"[{"guestPhysicalAddress": 0, "size": 4096, "userspaceAddress": 4096}]"#.utf8)
            .write(to: URL(fileURLWithPath: file))
        let explained = try CommandRun(
            [
                "explain", "--errno", "EEXIST", "--slot", "1", "--gpa", "0", "--size", "4096",
                "--hva", "0x2000", "--array", file,
            ], in: daemon.directory.path
        ).outcome()
        #expect(explained.output.contains("overlaps the slot without an id"), "\(explained)")
        let map = try CommandRun(["map", "web"], in: daemon.directory.path).outcome()
        #expect(map.status == 2 && map.errors.contains("--vm web"), "\(map.errors)")
        for arguments in [["--max-slots", "5"], ["--backend", "kvm", "--address-spaces", "2"]] {
            let refused = try CommandRun(
                ["create", "other", "--socket", daemon.socket] + arguments,
                in: daemon.directory.path
            ).outcome()
            #expect(refused.status == 64 && refused.errors.contains("--backend simulated"))
        }
    }

    @Test("a VM that can't be restored: info and create say what to do, and it works")
    func unrestored() throws {
        let scratch = try ScratchDirectory()
        do {
            let daemon = try DaemonProcess(arguments: ["--state-dir", scratch.path("state")])
            try daemon.run("create", "web", "--backend", "simulated")
            try daemon.run("memory", "create", "web", "ram", "--size", "1M")
            daemon.end(by: SIGTERM)
        }
        unlink(scratch.path("state/vm-1.memory-1"))
        try Data([1]).write(to: URL(fileURLWithPath: scratch.path("state/vm-2.state")))
        let daemon = try DaemonProcess(
            arguments: ["--state-dir", scratch.path("state"), "--memory-limit", "2G"])
        let info = try daemon.run("info").output
        #expect(info.contains("give the VM up with '"), "\(info)")
        #expect(info.contains("memslotctl destroy web"), "\(info)")
        #expect(info.firstMatch(of: /memoryLimit +2 GiB/) != nil, "\(info)")
        #expect(info.contains("remove this file and vm-2.memory-*"), "\(info)")
        let refused = try daemon.run("create", "web").errors
        #expect(refused.contains("could not be restored: the file vm-1.memory-1"), "\(refused)")
        #expect(refused.contains("memslotctl destroy web") && !refused.contains("use it"))
        #expect(try daemon.run("destroy", "web").status == 0)
        #expect(try daemon.run("create", "web", "--backend", "simulated").status == 0)
        #expect(access(scratch.path("state/vm-1.state"), F_OK) != 0)
    }

    @Test("without a daemon the error says how to start one")
    func noDaemon() throws {
        let daemon = try DaemonProcess()
        daemon.end(by: SIGTERM)
        for arguments in [["info"], ["replay", FixtureScenario.path]] {
            let all = arguments + ["--socket", daemon.socket]
            let refused = try CommandRun(all, in: daemon.directory.path).outcome()
            #expect(refused.status == 1)
            #expect(refused.errors.contains("memslotd --socket \(daemon.socket)\n"))
        }
    }
}
