import Foundation
import Glibc
import TestSupport
import Testing

/// An unmodified QEMU whose disk is a qemu-storage-daemon, and whose guest never stops to write to it.
private final class DiskMachine {
    static let storageDaemon = "/usr/bin/qemu-storage-daemon"
    /// The guest; `nil` where it can't be built.
    static let bootSector = Workbench.build(
        "disk.bin",
        [
            "-nostdlib", "-static", "-no-pie", "-Wl,--oformat,binary", "-Wl,-Ttext,0x7c00",
            "-Wl,--build-id=none",
        ], [Repository.path("Tests/Tools/memslotctlTests/Run/Guest/disk.S")])
    /// The firmware does not boot from fewer.
    private static let sectors = 2_048

    private let serial = Line("serial")
    private let qmp = Line("qmp")
    private let image = Workbench.file("disk")
    private let errors = Workbench.file("disk-errors")
    private let storage = ChildProcess()
    private let qemu = ChildProcess()

    /// - Parameter options: of `memslotctl run`; `nil` for no run.
    init(under options: [String]?) throws {
        let boot = try Data(contentsOf: URL(fileURLWithPath: Self.bootSector ?? ""))
        try (boot + Data(count: (Self.sectors - 1) * 512)).write(to: URL(fileURLWithPath: image))
        let socket = Workbench.file("vhost-user")
        storage.executableURL = URL(fileURLWithPath: Self.storageDaemon)
        storage.arguments = [
            "--blockdev", "driver=file,node-name=disk,filename=\(image)", "--export",
            "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,"
                + "addr.path=\(socket)",
        ]
        try storage.run()
        try waitUntil("the storage daemon listens") { access(socket, F_OK) == 0 }
        let words = [
            Workbench.qemu ?? "", "-accel", "kvm", "-machine", "pc,memory-backend=ram", "-object",
            "memory-backend-memfd,id=ram,size=64M,share=on", "-m", "64,slots=8,maxmem=2G",
            "-nodefaults", "-display", "none", "-chardev",
            "socket,id=serial,path=\(serial.path)", "-serial", "chardev:serial", "-chardev",
            "socket,id=disk,path=\(socket)", "-device",
            "vhost-user-blk-pci,chardev=disk,num-queues=1",
            "-qmp", "unix:\(qmp.path)",
        ]
        let command =
            options.map { [Workbench.memslotctl ?? "", "run"] + $0 + ["--"] + words }
            ?? words
        qemu.executableURL = URL(fileURLWithPath: command[0])
        qemu.arguments = Array(command.dropFirst())
        _ = FileManager.default.createFile(atPath: errors, contents: nil)
        qemu.standardError = FileHandle(forWritingAtPath: errors)
        try qemu.run()
        try #require(serial.accept() && qmp.accept() && qmp.receive() != nil)
        _ = qmp.execute("qmp_capabilities")
    }

    deinit {
        for process in [qemu, storage] where process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }

    /// The next numbers of the guest: rounds, and wrong ones.
    func progress() throws -> (rounds: Int, wrong: Int) {
        let words = try #require(serial.receive(), "\(standardError)").split(separator: " ")
        let numbers = words.suffix(2).compactMap { Int($0, radix: 16) }
        try #require(numbers.count == 2, "\(words)")
        return (numbers[0], numbers[1])
    }

    func plug(_ number: Int) {
        let memory = qmp.execute(
            "object-add",
            #"{"qom-type":"memory-backend-memfd","id":"m\#(number)","size":67108864,"share":true}"#)
        let dimm = qmp.execute(
            "device_add", #"{"driver":"pc-dimm","id":"d\#(number)","memdev":"m\#(number)"}"#)
        #expect(memory.hasPrefix("{\"return\"") && dimm.hasPrefix("{\"return\""), "\(dimm)")
    }

    /// Stops the guest; its numbers, and whether each sector has what it wrote last.
    func end() throws -> (rounds: Int, wrong: Int, isImageRight: Bool) {
        serial.send("x", ending: "")
        var line = try #require(serial.receive())
        while !line.hasPrefix("END") { line = try #require(serial.receive()) }
        let numbers = line.split(separator: " ").suffix(2).compactMap { Int($0, radix: 16) }
        _ = qmp.execute("quit")
        qemu.waitUntilExit()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: image))
        let isRight = (max(0, numbers[0] - 255)..<numbers[0]).allSatisfy { round in
            let start = (1 + round % 255) * 512
            let words = (0..<128).flatMap { word in
                withUnsafeBytes(of: UInt32(round + word)) { Array($0) }
            }
            return Array(bytes[start..<start + 512]) == words
        }
        return (numbers[0], numbers[1], isRight)
    }

    var isStorageRunning: Bool { storage.isRunning }
    var standardError: String { text(errors) }
}

@Suite(
    "QEMU with a vhost-user disk", .serialized,
    .enabled(
        if: Workbench.canRunQEMU && Workbench.compiler != nil
            && access("/usr/bin/qemu-storage-daemon", X_OK) == 0,
        "needs /dev/kvm, qemu-system-x86_64, qemu-storage-daemon, a C compiler and the library"))
struct QEMUDiskTests {
    @Test(
        "memory that is plugged during I/O loses no write, bare and under run",
        arguments: [nil, ["--report"], ["--atomic", "--report"]])
    func plugged(options: [String]?) throws {
        let machine = try DiskMachine(under: options)
        for number in 1...4 {
            let before = try machine.progress().rounds
            machine.plug(number)
            // It writes after the change too.
            while try machine.progress().rounds < before + 64 {}
        }
        let end = try machine.end()
        #expect(end.rounds > 4 * 64)
        #expect(end.wrong == 0)
        #expect(end.isImageRight)
        #expect(machine.isStorageRunning)
        // QEMU 7.2 makes its slot calls first.
        #expect(!machine.standardError.contains("table sent to"), "\(machine.standardError)")
        // A table was sent while slot calls waited, which were made before it.
        if options?.contains("--atomic") == true {
            #expect(
                machine.standardError.contains("a vhost-user table"), "\(machine.standardError)")
        }
    }
}
