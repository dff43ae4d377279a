import Foundation
import Glibc
import TestSupport
import Testing

/// What the tests need: the built programs, a VMM in C, a folder of their own.
enum Workbench {
    static let memslotctl = BuiltProducts.path(of: "memslotctl")
    /// Without it there is nothing to preload.
    static var isBuilt: Bool {
        memslotctl != nil && BuiltProducts.path(of: "libmemslots-preload.so") != nil
    }
    static let hasKVM = access("/dev/kvm", R_OK | W_OK) == 0
    static let compiler = BuiltProducts.tool("cc", "clang")
    /// Linux 5.15 and later.
    static var hasVCPUStatistics: Bool {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) { String(decoding: $0, as: UTF8.self) }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 15)
    }
    static let strace = BuiltProducts.tool("strace")
    static let qemu = BuiltProducts.tool("qemu-system-x86_64")
    /// The VMM, compiled once; `nil` where the compiler failed.
    static let vmm = compile(static: false)

    static var canRunVMM: Bool { isBuilt && hasKVM && compiler != nil }
    static var canRunQEMU: Bool { isBuilt && hasKVM && qemu != nil }
    /// qboot boots a PVH kernel on the machines that have no firmware for it.
    static let qboot = ["/usr/share/qemu/qboot.rom", "/usr/share/qboot/bios.bin"]
        .first { FileManager.default.isReadableFile(atPath: $0) }

    /// A new folder below the temporary one.
    static let folder: String = {
        var template = Array("/tmp/memslots-run-XXXXXX".utf8CString)
        mkdtemp(&template)
        return String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    static func file(_ name: String) -> String { "\(folder)/\(UUID().uuidString)-\(name)" }

    /// Compiles a program; `nil` where the compiler fails.
    static func build(_ output: String, _ options: [String], _ sources: [String]) -> String? {
        guard let compiler else { return nil }
        let path = file(output)
        let outcome = Finished(running: compiler, options + ["-o", path] + sources)
        return outcome.status == 0 ? path : nil
    }

    static func compile(static isStatic: Bool) -> String? {
        let sources = Repository.path("Tests/Tools/memslotctlTests/Run/VMM")
        let names = [
            "vmm.c", "tests.c", "more_tests.c", "kernel_tests.c", "stack_tests.c", "self_tests.c",
            "halted_tests.c", "odd_tests.c", "holds.c", "bench.c",
            "table_tests.c",
        ].map { "\(sources)/\($0)" }
        let options = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-Wl,-z,now"]
        return build(
            isStatic ? "static-vmm" : "vmm", options + (isStatic ? ["-static"] : []), names)
    }
}

/// A program that has ended.
struct Finished {
    let status: Int32
    let output: String
    let errors: String

    /// Runs a program to its end; it is killed after `seconds`.
    init(running program: String, _ arguments: [String], seconds: Double = 120) {
        let output = Workbench.file("output")
        let errors = Workbench.file("errors")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        for path in [output, errors] {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        process.standardInput = FileHandle.nullDevice
        guard (try? process.run()) != nil else {
            self.status = -1
            self.output = ""
            self.errors = "can't be run"
            return
        }
        let number = process.processIdentifier
        let killer = DispatchWorkItem {
            // Its group: what it has started too.
            kill(-number, SIGKILL)
            kill(number, SIGKILL)
        }
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds, execute: killer)
        process.waitUntilExit()
        killer.cancel()
        self.status =
            process.terminationReason == .exit
            ? process.terminationStatus : 128 + process.terminationStatus
        self.output = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
        self.errors = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
    }

    /// Runs the VMM in C, bare.
    init(vmm test: [String]) { self.init(running: Workbench.vmm ?? "", test) }

    /// Runs the VMM in C under `memslotctl run`.
    init(vmm test: [String], under options: [String]) {
        self.init(
            running: Workbench.memslotctl ?? "",
            ["run"] + options + ["--", Workbench.vmm ?? ""] + test)
    }
}

/// The file's text.
func text(_ path: String) -> String {
    (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
}
