import Foundation
import MemslotKVM
import TestSupport
import Testing

@testable import ExampleVMM

@Suite("the example VMM")
struct ExampleVMMTests {
    private let root = Repository.root()

    private func told(_ makeMachine: (Layout) throws -> some Machine) throws -> [String] {
        let layout = try Layout()
        var lines: [String] = []
        try Tour(layout).take(with: makeMachine(layout)) { lines.append($0) }
        return lines
    }

    /// The lines without what differs from run to run.
    private func steady(_ lines: [String]) -> [String] {
        lines.map { $0.replacing(/held for \d+ µs/, with: "held") }
    }

    private let expected = [
        "plug a DIMM: create 3; guest not held",
        "move a BAR: move 2; guest held",
        "split the RAM: delete 1, create 1, create 4; guest held",
        "merge it again: delete 1, delete 4, create 1; guest held",
        "log dirty pages: reflag 1; guest not held",
        "first pass: send 16 of 16 pages",
        "split it while it logs: delete 1, create 1, create 4; guest held",
        "next pass, slot 1: send 8 of 8 pages",
        "next pass, slot 4: send 8 of 8 pages",
        "log no more: delete 1, delete 4, create 1; guest held",
    ]

    @Test("goes its way on the simulator")
    func simulated() throws {
        let lines = steady(try told { try SimulatedMachine($0) })
        #expect(
            lines == expected + [
                "dirty since, from the receipt: 0 pages",
                "The guest missed nothing: no spurious exit, no lost increment.",
            ])
    }

    @Test(
        "goes the same way on KVM, and the guest misses nothing",
        .enabled(
            if: KVMSystem.unavailability() == nil,
            "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
    func onKVM() throws {
        let lines = steady(try told { try KVMMachine($0) })
        #expect(Array(lines.prefix(expected.count)) == expected)
        // How many are dirty since the last reading is the guest's doing.
        #expect(lines.last == "The guest missed nothing: no spurious exit, no lost increment.")
    }

    @Test(
        "the guide shows the example's own lines",
        arguments: ["device", "core", "submit", "migrate", "socket"])
    func snippets(name: String) throws {
        let sources = root.appending(path: "Sources/Examples/swift/ExampleVMM")
        let text = try [
            "ExampleVMM.swift", "KVMMachine.swift", "ControlSocket.swift", "Device.swift",
        ]
        .map { try String(contentsOf: sources.appending(path: $0), encoding: .utf8) }
        .joined()
        let begin = try #require(text.range(of: "// [\(name)]\n"))
        let end = try #require(text.range(of: "// [/\(name)]"))
        let lines = text[begin.upperBound..<end.lowerBound]
            .split(separator: "\n", omittingEmptySubsequences: false)
        // Lines of a function's body stand by themselves in the guide.
        let indent = lines.first?.hasPrefix("        ") == true ? 8 : 0
        let snippet = lines.map { $0.hasPrefix("        ") ? $0.dropFirst(indent) : $0 }
            .joined(separator: "\n").trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(snippet.count > 200)
        let guide = try String(
            contentsOf: root.appending(path: "Docs/VMM-Authors.md"), encoding: .utf8)
        #expect(guide.contains("```swift\n\(snippet)\n```"), "\(snippet)")
        if name == "core" {
            let readme = try String(
                contentsOf: root.appending(path: "README.md"), encoding: .utf8)
            #expect(readme.contains("```swift\n\(snippet)\n```"))
        }
    }
}
