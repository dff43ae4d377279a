import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("a daemon that is killed", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct InterruptedDaemonTests {
    init() throws { try #require(Interruption.library != nil, "the shim can't be compiled") }

    @Test(
        "at every call that writes: an answered request is restored, any other wholly or not at all",
        arguments: ["KILL", "TEAR"], [[], ["--state-sync"]])
    func everyWrite(how: String, arguments: [String]) throws {
        let course = Course.whole
        let snapshots = try course.snapshots()
        let granted = try course.granted()
        try #require(snapshots.count == course.requests.count + 1)
        var faults: [String] = []
        var point = 1
        while true {
            let scratch = try ScratchDirectory()
            let daemon = try DaemonProcess(
                stateIn: scratch, arguments: arguments,
                environment: Interruption.environment([how: String(point)]))
            let answered = daemon.isReady ? try progress(course, daemon) : 0
            if answered == course.requests.count { break }
            guard daemon.waitForEnd() == -SIGKILL else {
                faults.append("\(how) \(point): ended by itself: \(daemon.log)")
                break
            }
            let found = try restarted(scratch, arguments)
            let isWhole =
                found == snapshots[answered] || found == snapshots[answered + 1]
                || answered == course.rolledBack && found == granted
            if !isWhole {
                faults.append("\(how) \(point), \(answered) answered: \(found)")
            }
            let left = scratch.stateFiles.filter { $0.hasSuffix(".new") || $0.hasSuffix(".old") }
            if !left.isEmpty { faults.append("\(how) \(point): \(left) stayed") }
            point += 1
        }
        #expect(faults.isEmpty, "\(faults.prefix(5))")
        #expect(point > (how == "KILL" ? 60 : 10), "only \(point) points were reached")
        print("\(how) \(arguments): \(point - 1) points visited")
    }

    private func progress(_ course: Course, _ daemon: DaemonProcess) throws -> Int {
        guard var client = try? daemon.connect() else { return 0 }
        return try course.run(on: &client).answered
    }

    @Test("at every call that writes during a restore: the next daemon restores everything")
    func everyWriteOfRestoring() throws {
        let course = Course.whole
        let expected = try course.snapshots()[11]
        let model = try ScratchDirectory()
        do {
            let daemon = try DaemonProcess(stateIn: model)
            var client = try daemon.connect()
            _ = try course.run(on: &client, limit: 11)
            daemon.end(by: SIGKILL)
        }
        // Half a record, memory that no record names, and a damaged record.
        try model.writeState([1, 2, 3], "vm-1.state.new")
        try model.writeState([1, 2, 3], "vm-2.state.old")
        try model.writeState([0], "vm-1.memory-9")
        try model.writeState(Array("nonsense".utf8), "vm-9.state")
        var faults: [String] = []
        var point = 1
        while true {
            let scratch = try ScratchDirectory()
            try FileManager.default.copyItem(atPath: model.state, toPath: scratch.state)
            let daemon = try DaemonProcess(
                stateIn: scratch, environment: Interruption.environment(["KILL": String(point)]))
            if daemon.isReady { break }
            _ = daemon.waitForEnd()
            let found = try restarted(scratch, [])
            if found != expected { faults.append("\(point): \(found)") }
            let files = scratch.stateFiles
            if files.contains(where: { $0.hasSuffix(".new") || $0.hasSuffix("memory-9") })
                || !files.contains("vm-9.state.damaged-1")
            {
                faults.append("\(point): \(files)")
            }
            point += 1
        }
        #expect(faults.isEmpty, "\(faults.prefix(5))")
        #expect(point > 8)
        print("restoring: \(point - 1) points visited")
    }

    /// Starts a daemon that is not interrupted.
    ///
    /// - Returns: the VMs that it restores.
    private func restarted(_ scratch: ScratchDirectory, _ arguments: [String]) throws -> String {
        let daemon = try DaemonProcess(stateIn: scratch, arguments: arguments)
        guard daemon.isReady else { return "does not come up: \(daemon.log)" }
        var client = try daemon.connect()
        let found = try Course.snapshot(&client)
        daemon.end(by: SIGKILL)
        return found
    }
}
