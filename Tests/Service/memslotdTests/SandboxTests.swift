import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "a daemon confines itself", .serialized,
    .enabled(
        if: DaemonProcess.executable != nil && Shim.escape != nil, "the shim can't be compiled"))
struct SandboxTests {
    /// What Landlock refuses, with `EACCES`.
    private static let refusedFiles = ["read", "write", "create", "device", "remove"]
    /// What the filter refuses, with `EPERM`, and what it would return otherwise.
    private static let refusedCalls = [
        "internet", "netlink", "fork", "execute", "trace", "executable", "executable-later",
        "signal", "owner", "terminal", "limit", "namespace", "node", "memory-of-others",
    ]
    private static let hasLandlock: Bool = {
        let rules = clinux_landlock_begin()
        if rules >= 0 { close(rules) }
        return rules >= 0
    }()

    /// What each attempt returned, by its name.
    private func attempts(
        _ arguments: [String], only: String? = nil
    ) throws -> (errors: [String: Int32], daemon: DaemonProcess) {
        let scratch = try ScratchDirectory()
        var environment = ["LD_PRELOAD": Shim.escape ?? ""]
        environment["ESCAPE_FILE"] = try scratch.write("x".utf8, to: "outside")
        environment["ESCAPE"] = only
        let daemon = try DaemonProcess(arguments: arguments, environment: environment)
        var client = try daemon.connect()
        _ = try? client.ask(#"{"id":1,"method":"vm.list"}"#)
        var errors: [String: Int32] = [:]
        for line in daemon.log.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "escape" { errors[String(words[1])] = Int32(words[2]) }
        }
        return (errors, daemon)
    }

    @Test("a call that it does not need fails with EPERM, and it serves on")
    func calls() throws {
        let (errors, daemon) = try attempts(["--sandbox", "standard"])
        for name in Self.refusedCalls { #expect(errors[name] == EPERM, "\(name)") }
        var client = try daemon.connect()
        #expect(try client.ask(#"{"id":2,"method":"vm.list"}"#).id == 2)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test(
        "a file that it does not use can't be opened, created or removed",
        .enabled(if: SandboxTests.hasLandlock, "this kernel has no Landlock"))
    func files() throws {
        let (errors, daemon) = try attempts(["--sandbox", "standard"])
        for name in Self.refusedFiles { #expect(errors[name] == EACCES, "\(name)") }
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test(
        "KVM can be used inside",
        .enabled(if: access("/dev/kvm", R_OK | W_OK) == 0, "/dev/kvm does not open"))
    func kvm() throws {
        let daemon = try DaemonProcess()
        var client = try daemon.connect()
        try client.result("vm.create", #"{"vm":"a","backend":"kvm"}"#)
        try client.result(
            "memory.create", #"{"vm":"a","memory":"m","size":8192,"backing":"memfd"}"#)
        let slots =
            #"[{"guestPhysicalAddress":0,"size":8192,"memory":"m","flags":["log-dirty-pages"]}]"#
        try client.result("memslots.submit", #"{"vm":"a","slots":\#(slots)}"#)
        try client.result("dirtylog.get", #"{"vm":"a","slot":0}"#)
        try client.result("memslots.submit", #"{"vm":"a","slots":[]}"#)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("with --sandbox=strict such a call ends it", arguments: SandboxTests.refusedCalls)
    func strict(name: String) throws {
        let (errors, daemon) = try attempts(["--sandbox", "strict"], only: name)
        #expect(errors.isEmpty)
        #expect(daemon.waitForEnd() == -SIGSYS)
    }

    @Test("with --no-sandbox it may do all that, and logs so")
    func none() throws {
        let (errors, daemon) = try attempts(["--no-sandbox"])
        // The kernel itself refuses none of the files.
        for name in Self.refusedFiles { #expect(errors[name] == 0, "\(name)") }
        for name in ["internet", "netlink", "fork", "executable", "executable-later", "namespace"] {
            #expect(errors[name] == 0, "\(name)")
        }
        #expect(daemon.end(by: SIGTERM) == 0)
        // A thread of its own writes the log, which is whole at the end.
        #expect(daemon.log.contains("warning --no-sandbox: the daemon may make any call"))
    }

    @Test("no thread can gain privileges, and each has the filter")
    func everyThread() throws {
        let scratch = try ScratchDirectory()
        let first = try DaemonProcess(stateIn: scratch)
        var client = try first.connect()
        try client.makeVM("a")
        _ = first.end(by: SIGKILL)
        // The restored VM is logged, to a pipe that is full: a thread exists before the filter does,
        // and waits.
        let pipe = scratch.path("log-pipe")
        try #require(mkfifo(pipe, 0o600) == 0)
        let full = open(pipe, O_RDWR | O_NONBLOCK)
        defer { close(full) }
        let bytes = [UInt8](repeating: 0, count: 4_096)
        while write(full, bytes, bytes.count) > 0 {}
        let daemon = try DaemonProcess(
            stateIn: scratch, environment: ["WATCHDOG_USEC": "20000"], shell: "exec 2>\(pipe);")
        client = try daemon.connect()
        _ = try client.ask(#"{"id":1,"method":"vm.list"}"#)
        let tasks = "/proc/\(daemon.processID)/task"
        let threads = try FileManager.default.contentsOfDirectory(atPath: tasks)
        #expect(threads.count > 3)
        for thread in threads {
            // It may have ended meanwhile.
            guard
                let text = try? String(contentsOfFile: "\(tasks)/\(thread)/status", encoding: .utf8)
            else { continue }
            #expect(text.contains("NoNewPrivs:\t1\n"))
            #expect(text.contains("Seccomp:\t2\n"))
        }
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("so are the processes that receive descriptors")
    func receivers() throws {
        let daemon = try DaemonProcess()
        var client = try daemon.connect()
        try client.makeVM("a")
        let memory = clinux_memfd("test", 0)
        defer { close(memory) }
        #expect(ftruncate(memory, 4_096) == 0 && clinux_seal_size(memory) == 0)
        let create = try client.call(
            "memory.create", #"{"vm":"a","memory":"m","size":4096,"fd":0}"#, passing: [memory])
        #expect(create.value?["result"] != nil, "\(String(decoding: create.line, as: UTF8.self))")
        let launchers = try children(of: daemon.processID)
        let receivers = try launchers.flatMap { try children(of: $0.process) }
        #expect(launchers.map(\.name) == ["memslot-launch"])
        #expect(receivers.map(\.name) == ["memslot-receive"])
        for (child, filters) in zip(launchers + receivers, [1, 2]) {
            #expect(child.status.contains("NoNewPrivs:\t1\n"))
            #expect(child.status.contains("Seccomp:\t2\nSeccomp_filters:\t\(filters)\n"))
        }
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    private func children(
        of parent: pid_t
    ) throws -> [(process: pid_t, name: String, status: String)] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }
            .compactMap { process in
                let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
                guard let status, status.contains("\nPPid:\t\(parent)\n"),
                    let name = status.firstMatch(of: /Name:\t(.*)\n/)?.output.1
                else { return nil }
                return (process, String(name), status)
            }
    }
}
