import CLinux
import Foundation
import Glibc
import TestSupport

/// A socket that QEMU connects to, so that nothing has to be waited for by the clock.
final class Line {
    let path: String
    private let listener: Int32
    private let patience: Int
    private var connection: Int32 = -1
    private var buffer: [UInt8] = []

    /// - Parameter seconds: how long to wait for an answer: a machine that is busy with other
    ///   tests is slow.
    init(_ name: String, patience seconds: Int = 120) {
        patience = seconds
        path = Workbench.file(name)
        listener = clinux_stream_socket()
        _ = clinux_bind(listener, path)
        _ = Glibc.listen(listener, 1)
        limit(listener)
    }

    deinit {
        close(listener)
        if connection >= 0 { close(connection) }
        unlink(path)
    }

    private func limit(_ socket: Int32) {
        var time = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(
            socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    func accept() -> Bool {
        connection = clinux_accept(listener)
        if connection >= 0 { limit(connection) }
        return connection >= 0
    }

    func send(_ text: String, ending: String = "\n") {
        let bytes = Array((text + ending).utf8)
        _ = clinux_send(connection, bytes, bytes.count, nil, 0, 1)
    }

    /// The next line; `nil` at the end.
    func receive() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                defer { buffer.removeSubrange(...end) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            guard receiveMore() else { return nil }
        }
    }

    /// All that has come when `text` stands in it so many times.
    func receive(until text: String, times: Int) -> String {
        func count() -> Int {
            String(decoding: buffer, as: UTF8.self).components(separatedBy: text).count - 1
        }
        while count() < times, receiveMore() {}
        return String(decoding: buffer, as: UTF8.self)
    }

    /// Executes a QMP command; the answer is its line.
    func execute(_ command: String, _ arguments: String = "{}") -> String {
        send("{\"execute\":\"\(command)\",\"arguments\":\(arguments)}")
        while let line = receive() {
            if line.hasPrefix("{\"return\"") || line.hasPrefix("{\"error\"") { return line }
        }
        return ""
    }

    private func receiveMore() -> Bool {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = recv(connection, &room, room.count, 0)
        if count > 0 { buffer += room[..<count] }
        return count > 0
    }
}

/// A QEMU, bare or under `memslotctl run`, and what can be asked of it.
final class QEMUMachine {
    private let qmp = Line("qmp")
    private let qtest = Line("qtest")
    private let firmware = Line("firmware")
    private let process = ChildProcess()
    private let errors = Workbench.file("qemu-errors")

    /// Starts it; `nil` where it doesn't come up.
    ///
    /// - Parameters:
    ///   - kind: the machine, with its properties.
    ///   - accelerator: KVM, with its properties.
    ///   - more: more words of the command line.
    ///   - options: of `memslotctl run`; `nil` for no run.
    ///   - watch: watches its socket from before its first call.
    init?(
        _ kind: String, accelerator: String = "kvm", more: [String] = [],
        under options: [String]?, watch: LiveWatch? = nil
    ) {
        let words =
            [
                "-accel", accelerator, "-machine", kind, "-m", "256,slots=4,maxmem=2G", "-smp", "2",
                "-nodefaults", "-display", "none", "-serial", "none", "-device", "VGA",
                "-chardev", "socket,id=firmware,path=\(firmware.path)",
                "-device", "isa-debugcon,iobase=0x402,chardev=firmware",
                "-qtest", "unix:\(qtest.path)", "-qtest-log", "/dev/null",
                "-qmp", "unix:\(qmp.path)",
            ] + more
        let qemu = Workbench.qemu ?? ""
        let program = options == nil ? qemu : Workbench.memslotctl ?? ""
        process.executableURL = URL(fileURLWithPath: program)
        let command = watch?.command([qemu] + words) ?? [qemu] + words
        process.arguments =
            options.map { ["run"] + $0 + ["--"] + command } ?? words
        _ = FileManager.default.createFile(atPath: errors, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: errors)
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        guard (try? process.run()) != nil, firmware.accept(), qtest.accept(), qmp.accept(),
            qmp.receive() != nil
        else {
            process.terminate()
            return nil
        }
        _ = ask("qmp_capabilities")
    }

    /// The firmware's log, once it has found nothing to boot, for so many times.
    func firmwareLog(boots: Int = 1) -> String {
        let last = "No bootable device."
        let log = firmware.receive(until: last, times: boots)
        // The rest of the line may or may not have come with it.
        return log.range(of: last, options: .backwards).map { String(log[..<$0.upperBound]) } ?? log
    }

    func ask(_ command: String, _ arguments: String = "{}") -> String {
        qmp.execute(command, arguments)
    }

    /// Waits for an event of migration.
    func waitForMigration(_ status: String) throws {
        try waitUntil("migration \(status)", every: 10_000) {
            ask("query-migrate").contains("\"status\": \"\(status)\"")
        }
    }

    /// Moves the display's first BAR as its guest would.
    func moveBAR(to address: UInt32) -> Bool {
        for device: UInt32 in 0..<8 where config(device << 11) == 0x1111_1234 {
            let register = device << 11 | 0x10
            guard config(register) & 0xffff_fff0 != address else { return false }
            test("outl 0xcf8 \(0x8000_0000 | register)")
            test("outl 0xcfc \(address)")
            return config(register) & 0xffff_fff0 == address
        }
        return false
    }

    private func config(_ register: UInt32) -> UInt32 {
        test("outl 0xcf8 \(0x8000_0000 | register)")
        let words = test("inl 0xcfc").split(separator: " ")
        return words.last.flatMap { UInt32($0.dropFirst(2), radix: 16) } ?? 0
    }

    @discardableResult
    private func test(_ command: String) -> String {
        qtest.send(command)
        while let line = qtest.receive() { if line.hasPrefix("OK") { return line } }
        return ""
    }

    /// The flat views, by content: QEMU prints them in the order of a hash table.
    func flatViews() -> [String] {
        let answer = ask("human-monitor-command", "{\"command-line\":\"info mtree -f\"}")
        return answer.replacingOccurrences(of: "\"}", with: "")
            .replacingOccurrences(of: "\\r\\n", with: "\n")
            .split(separator: "FlatView #").map { $0.drop(while: \.isNumber) }
            .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.sorted()
    }

    /// Ends it; what it and memslotctl said on standard error.
    func quit() -> (status: Int32, errors: String) {
        _ = ask("quit")
        process.waitUntilExit()
        return (process.terminationStatus, text(errors))
    }
}
