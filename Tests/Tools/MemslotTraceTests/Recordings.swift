import Foundation
import MemslotTrace
import TestSupport

/// The logs in `Fixtures/traces`, and what is known of them.
enum Recordings {
    static let names = [
        "microvm-boot", "pc-seabios-boot", "q35-dimm-hotplug-256", "q35-dimm-hotplug-8",
        "q35-migrate", "q35-reset", "q35-seabios-boot", "q35-vga-modes-bar-moves",
    ]
    /// All but this one have a scenario in `Fixtures/qemu`.
    static let withScenario = names.filter { $0 != "q35-dimm-hotplug-256" }

    static let folder = Repository.url("Fixtures")

    static func trace(_ name: String) throws -> String {
        let file = folder.appendingPathComponent("traces/\(name).txt")
        return try String(contentsOf: file, encoding: .utf8)
    }

    static func scenario(_ name: String) throws -> [String] {
        let file = folder.appendingPathComponent("qemu/\(name).jsonl")
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
    }
}

func imported(
    _ log: String, gap: UInt64 = 10, name: String = "log"
) throws(TraceError) -> TraceImport {
    var options = TraceImporter.Options()
    options.gapMilliseconds = gap
    options.name = name
    var importer = TraceImporter(options: options)
    importer.consume(Array(log.utf8))
    return try importer.finish()
}

extension TraceImport {
    /// The scenario's lines without their ends; one that lacks its end runs into the next.
    var lines: [String] {
        var text: [UInt8] = []
        scenario.forEachLine { text += $0 }
        return String(decoding: text, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    /// The numbers of calls of the transactions.
    var callCounts: [Int] { scenario.transactions.map(\.calls.count) }
}

/// A log written by a test, a line a call, each a microsecond after the one before.
struct LogWriter {
    var text = ""
    var microseconds: UInt64 = 1_795_342_700_000_000

    mutating func line(_ thread: Int, _ rest: String) {
        let fraction = String(microseconds % 1_000_000)
        let zeros = String(repeating: "0", count: 6 - fraction.count)
        text += "\(thread) \(microseconds / 1_000_000).\(zeros)\(fraction) \(rest)\n"
        microseconds += 1
    }

    mutating func pause(milliseconds: UInt64) {
        microseconds += milliseconds * 1000
    }

    mutating func createVM(_ thread: Int, descriptor: Int = 9) {
        line(thread, "ioctl(8, KVM_CREATE_VM, 0) = \(descriptor)")
    }

    mutating func run(_ thread: Int, descriptor: Int = 13) {
        line(thread, "ioctl(\(descriptor), KVM_RUN, 0) = 0")
    }

    mutating func set(
        _ thread: Int, _ slot: Int, at address: UInt64, size: UInt64, flags: String = "0",
        backing: UInt64? = nil, descriptor: Int = 9, result: String = "0"
    ) {
        let region = Self.region(slot, address, size, flags, backing)
        line(
            thread,
            "ioctl(\(descriptor), KVM_SET_USER_MEMORY_REGION, \(region)) = \(result)")
    }

    static func region(
        _ slot: Int, _ address: UInt64, _ size: UInt64, _ flags: String = "0",
        _ backing: UInt64? = nil
    ) -> String {
        "{slot=\(slot), flags=\(flags), guest_phys_addr=0x\(String(address, radix: 16)), "
            + "memory_size=\(size), "
            + "userspace_addr=0x\(String(backing ?? 0x7f00_0000_0000 + address, radix: 16))}"
    }
}
