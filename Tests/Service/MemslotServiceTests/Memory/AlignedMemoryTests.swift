import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

/// In a process of its own, whose mappings no other test changes.
@Suite("memory that the service maps")
struct AlignedMemoryTests {
    @Test("is where huge pages can back it, and nothing else of the address space is taken")
    func aligned() async {
        await #expect(processExitsWith: .success) {
            let scratch = try ScratchDirectory()
            let kept = try KeptService(scratch)
            for (ask, vm) in [("memfd", "a"), ("passed", "b"), ("file", "c")] {
                let service = MemslotService()
                let client = WireClient(service)
                if ask == "file" {
                    try kept.ask("vm.create", #"{"vm":"c","backend":"simulated"}"#)
                } else {
                    try client.createVM(vm)
                }
                // Sizes that don't leave the next mapping aligned by chance.
                for (index, pages) in [512, 513, 777, 1_024, 3_000].enumerated() {
                    let size = pages * 4_096
                    let name = "\(ask)\(index)"
                    switch ask {
                    case "passed":
                        let more = #"{"vm":"\#(vm)","memory":"\#(name)","fd":0}"#
                        let reply = try client.call(
                            "memory.create", more, passing: [try memfd(size)])
                        guard reply.result != nil else { exit(1) }
                    case "file":
                        try kept.ask(
                            "memory.create",
                            #"{"vm":"c","memory":"\#(name)","size":\#(size),"backing":"memfd"}"#)
                    default:
                        try client.result(
                            "memory.create",
                            #"{"vm":"\#(vm)","memory":"\#(name)","size":\#(size),"backing":"memfd"}"#
                        )
                    }
                    // Only the file is mapped: what was reserved around it is free again.
                    guard !hasReservations() else { exit(2) }
                    let slot =
                        #"{"guestPhysicalAddress":0,"size":\#(size),"memory":"\#(name)"}"#
                    let submit = #"{"vm":"\#(vm)","slots":[\#(slot)]}"#
                    let receipt =
                        ask == "file"
                        ? try kept.ask("memslots.submit", submit)
                        : try client.result("memslots.submit", submit).rawText
                    guard receipt.contains(#""warnings":[]"#) else {
                        print(receipt)
                        exit(3)
                    }
                }
            }
        }
    }
}

/// Whether addresses that nothing uses are reserved beside memory that the service maps.
private func hasReservations() -> Bool {
    let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
    let ranges = maps.split(separator: "\n").map { line in
        (ends: line.prefix { $0 != " " }.split(separator: "-"), line: line)
    }
    let files = ranges.filter { $0.line.contains("memslots") || $0.line.contains("vm-1.memory-") }
    return files.isEmpty
        || ranges.contains { range in
            range.line.contains(" ---p 00000000 00:00 0")
                && files.contains { $0.ends[0] == range.ends[1] || $0.ends[1] == range.ends[0] }
        }
}
