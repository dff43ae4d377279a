import Foundation
import TestSupport
import Testing

/// A QEMU that boots the guest of `Guest/` as a PVH kernel, without firmware of its own.
private final class DirectBoot {
    private let serial: Line
    private let qmp: Line
    private let process = ChildProcess()
    private let errors = Workbench.file("direct-errors")

    /// The guest; `nil` where it can't be built.
    static let guest: String? = {
        let folder = Repository.path("Tests/Tools/memslotctlTests/Run/Guest")
        let options =
            "-m64 -O2 -Wall -Wextra -ffreestanding -fno-pic -fno-stack-protector -mno-red-zone "
            + "-fcf-protection=none -mgeneral-regs-only -nostdlib -static -no-pie "
            + "-Wl,--build-id=none -Wl,-z,noexecstack -Wl,-T,\(folder)/link.ld"
        return Workbench.build(
            "guest.elf", options.split(separator: " ").map(String.init),
            ["\(folder)/start.S", "\(folder)/guest.c"])
    }()

    /// Bytes that a guest is given as its initramfs, and what it says of them.
    static let initramfs: (path: String, reply: String) = {
        let path = Workbench.file("initramfs")
        let bytes = (0..<20_003).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        try? Data(bytes).write(to: URL(fileURLWithPath: path))
        return (path, "INITRAMFS \(bytes.count) sum \(bytes.reduce(0) { $0 + UInt64($1) })")
    }()

    /// A library that makes the gap after each deletion of a slot 2 ms long.
    static let naive: String? = {
        let source = Workbench.file("naive.c")
        let text = """
            #include <linux/kvm.h>
            #include <sys/syscall.h>
            #include <unistd.h>
            int ioctl(int descriptor, unsigned long request, void *argument) {
                int result = (int)syscall(SYS_ioctl, descriptor, request, argument);
                struct kvm_userspace_memory_region *region = argument;
                if ((unsigned)request == (unsigned)KVM_SET_USER_MEMORY_REGION
                    && region->memory_size == 0)
                    usleep(2000);
                return result;
            }
            """
        guard (try? text.write(toFile: source, atomically: true, encoding: .utf8)) != nil else {
            return nil
        }
        return Workbench.build("naive.so", ["-D_GNU_SOURCE", "-shared", "-fPIC"], [source])
    }()

    /// Starts it.
    ///
    /// - Parameters:
    ///   - machine: the kind, and `-bios` where it needs one.
    ///   - options: of `memslotctl run`; `nil` for no run.
    ///   - library: is preloaded too.
    init?(_ machine: [String], under options: [String]?, library: String? = nil, patience: Int) {
        serial = Line("serial", patience: patience)
        qmp = Line("qmp", patience: patience)
        let words =
            ["-accel", "kvm", "-M"] + machine + [
                "-m", machine[0].hasPrefix("microvm") ? "256" : "256,slots=4,maxmem=2G",
                "-initrd", Self.initramfs.path, "-nodefaults", "-no-user-config", "-display",
                "none", "-no-reboot",
                "-kernel", Self.guest ?? "", "-chardev", "socket,id=serial,path=\(serial.path)",
                "-serial", "chardev:serial", "-qmp", "unix:\(qmp.path)",
            ]
        let qemu = Workbench.qemu ?? ""
        process.executableURL = URL(
            fileURLWithPath: options == nil ? qemu : Workbench.memslotctl ?? "")
        process.arguments = options.map { ["run"] + $0 + ["--", qemu] + words } ?? words
        if let library {
            process.environment = ProcessInfo.processInfo.environment
                .merging(["LD_PRELOAD": library]) { $1 }
        }
        _ = FileManager.default.createFile(atPath: errors, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: errors)
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        guard (try? process.run()) != nil, serial.accept(), qmp.accept() else { return nil }
    }

    /// Ends it by QMP: it inherits a mask that blocks SIGTERM.
    deinit {
        guard process.isRunning else { return }
        qmp.send("{\"execute\":\"qmp_capabilities\"}")
        qmp.send("{\"execute\":\"quit\"}")
        // A machine whose guest died while memory was plugged may not answer. QEMU itself is ended, so
        // that memslotctl writes its report.
        for _ in 0..<150 where process.isRunning { usleep(100_000) }
        if process.isRunning {
            let number = process.processIdentifier
            let child = pid_t(
                text("/proc/\(number)/task/\(number)/children").prefix { $0 != " " })
            kill(child ?? number, SIGKILL)
        }
        process.waitUntilExit()
    }

    /// Sends a command; the guest's reply, or `nil` if none comes.
    func ask(_ command: String, _ reply: String) -> String? {
        send(command)
        return receive(reply)
    }

    func send(_ command: String) { serial.send(command, ending: "") }

    func receive(_ reply: String) -> String? {
        while let line = serial.receive() { if line.hasPrefix(reply) { return line } }
        return nil
    }

    /// Plugs a DIMM of 128 MiB; whether QEMU accepted it.
    func plug(_ number: Int) -> Bool {
        if number == 1 { _ = qmp.execute("qmp_capabilities") }
        let memory = qmp.execute(
            "object-add",
            "{\"qom-type\":\"memory-backend-ram\",\"id\":\"m\(number)\",\"size\":134217728}")
        let dimm = qmp.execute(
            "device_add",
            "{\"driver\":\"pc-dimm\",\"id\":\"d\(number)\",\"memdev\":\"m\(number)\"}")
        return memory.hasPrefix("{\"return\"") && dimm.hasPrefix("{\"return\"")
    }

    var standardError: String { text(errors) }
}

@Suite(
    "a guest without firmware under run", .serialized,
    .enabled(
        if: Workbench.canRunQEMU && Workbench.compiler != nil && Workbench.qboot != nil,
        "needs /dev/kvm, qemu-system-x86_64, qboot.rom, a C compiler and the library"))
struct DirectBootTests {
    static func machine(_ name: String) -> [String] {
        name == "microvm"
            ? ["microvm,rtc=on,pit=on,pic=on,isa-serial=on"]
            : [name, "-bios", Workbench.qboot ?? "", "-device", "VGA", "-smp", "2"]
    }

    @Test(
        "a PVH kernel boots each time, though QEMU keeps a pointer into its stack",
        .timeLimit(.minutes(10)), arguments: ["microvm", "pc", "q35"],
        [["--record", "/dev/null"], ["--atomic"]])
    func boots(machine: String, options: [String]) throws {
        try #require(DirectBoot.guest != nil)
        for _ in 0..<10 {
            let boot = try #require(
                DirectBoot(Self.machine(machine), under: options, patience: 60))
            #expect(boot.ask("", "UP") != nil, "\(boot.standardError)")
            #expect(boot.ask("i", "INITRAMFS") == DirectBoot.initramfs.reply)
        }
    }

    /// What the guest saw while its memory map changed under it; `nil` if it did not survive.
    private func witness(
        _ machine: String, _ flips: Int, under options: [String]?, patience: Int
    ) throws -> [String]? {
        let library = try #require(DirectBoot.naive)
        let boot = try #require(
            DirectBoot(
                Self.machine(machine), under: options, library: library, patience: patience))
        guard boot.ask("", "UP") != nil, boot.ask("w", "WITNESS") != nil else { return nil }
        // The guest flips and moves while the monitor plugs.
        boot.send("p\(flips)\n")
        guard boot.plug(1), let flipped = boot.receive("FLIPS") else { return nil }
        boot.send("b20\n")
        guard boot.plug(2), let moved = boot.receive("MOVES"),
            let plugged = boot.ask("d256\n", "PLUGGED"), let end = boot.ask("e", "END")
        else { return nil }
        return [flipped, moved, plugged, end]
    }

    @Test(
        "a second vCPU misses no memory, however long a slot is deleted",
        .timeLimit(.minutes(10)), arguments: ["pc", "q35"])
    func witness(machine: String) throws {
        let report = Workbench.file("report")
        let options = ["--atomic", "--report-file", report]
        let seen = try #require(try witness(machine, 100, under: options, patience: 120))
        #expect(seen[0] == "FLIPS 100 bad 0")
        #expect(seen[1] == "MOVES 20 bad 0")
        #expect(seen[2] == "PLUGGED bad 0")
        #expect(seen[3].hasSuffix(" spurious 0"), "\(seen[3])")
        #expect(!seen[3].hasPrefix("END rounds 0 "), "\(seen[3])")
        #expect(runningHoles(ofKernelIn: text(report)) == [], "\(text(report))")
    }

    @Test(
        "what the guest counts, or dies of, is in the report as a hole while a vCPU ran",
        .timeLimit(.minutes(5)))
    func reported() throws {
        let report = Workbench.file("report")
        let seen = try witness("pc", 100, under: ["--report-file", report], patience: 20)
        #expect(seen?[3].hasSuffix(" spurious 0") != true)
        #expect(!runningHoles(ofKernelIn: text(report)).isEmpty, "\(text(report))")
    }

    @Test("the same guest bare counts spurious exits, or dies of one", .timeLimit(.minutes(5)))
    func naive() throws {
        let seen = try witness("pc", 100, under: nil, patience: 20)
        #expect(seen?[3].hasSuffix(" spurious 0") != true)
    }
}
