import Foundation
import MemslotKVM
import Testing

@testable import ExampleVMM

@Suite("the example VMM")
struct ExampleVMMTests {
    /// The lines that the example prints, without the times.
    private func report(on makeMachine: (Layout) throws -> some Machine) throws -> [String] {
        let layout = try Layout()
        var lines: [String] = []
        try Tour(layout).run(on: makeMachine(layout)) { lines.append($0) }
        return lines.map { $0.replacing(/held for \d+ µs/, with: "held") }
    }

    private let expected = [
        "plug a DIMM: create 3; guest not held",
        "move a BAR: move 2; guest held",
        "split the RAM: delete 1, create 1, create 4; guest held",
        "merge it again: delete 1, delete 4, create 1; guest held",
        "log dirty pages: reflag 1; guest not held",
        "first pass: send 16 of 16 pages",
        "split it while it logs: delete 1, create 1, create 4; guest held",
        "next pass, slot at 0x40000000: send 8 of 8 pages",
        "next pass, slot at 0x40008000: send 8 of 8 pages",
        "log no more: delete 1, delete 4, create 1; guest held",
    ]

    @Test("makes all its changes on the simulator")
    func simulated() throws {
        let lines = try report { try SimulatedMachine($0) }
        #expect(
            lines == expected + [
                "dirty since, from the receipt: 0 pages",
                "The guest missed nothing: no spurious exit, no lost increment.",
            ])
    }

    @Test(
        "makes the same changes on KVM, and the guest misses nothing",
        .enabled(
            if: KVMSystem.unavailability() == nil,
            "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
    func onKVM() throws {
        let lines = try report { try KVMMachine($0) }
        #expect(Array(lines.prefix(expected.count)) == expected)
        // The guest decides how many pages are dirty since the last reading.
        #expect(lines.last == "The guest missed nothing: no spurious exit, no lost increment.")
    }
}
