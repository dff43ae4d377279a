import MemslotKVM
import Memslots

/// A small VMM: it boots a guest, and changes the guest's memory while the guest runs.
///
/// `Docs/VMM-Authors.md` explains it.
@main
struct ExampleVMM {
    static func main() throws {
        let layout = try Layout()
        guard let reason = KVMSystem.unavailability() else {
            print("A guest counts in 16 pages of memory; its memory changes under it.\n")
            return try Tour(layout).run(on: KVMMachine(layout)) { print($0) }
        }
        print("No KVM: \(reason).\nThis is the simulator; its own writes stand for a guest.\n")
        try Tour(layout).run(on: SimulatedMachine(layout)) { print($0) }
    }
}

/// What the VMM does to the guest's memory, one array after another.
struct Tour {
    let layout: Layout

    init(_ layout: Layout) { self.layout = layout }

    /// A guest that stopped, or that missed a part of its memory.
    struct GuestFault: Error, CustomStringConvertible { let description: String }

    /// Changes the memory of `machine` step by step, and reports each step as a line.
    func run(on machine: some Machine, report: (String) -> Void) throws {
        let table = machine.table
        // Each submit names the whole array: the VM has all of it afterwards, or what it had.
        func change(_ step: String, to array: [Memslot]) throws {
            let receipt = try table.submit(array)
            report("\(step): \(receipt.summary)")
            try machine.work()
        }
        try change("plug a DIMM", to: [layout.low, layout.ram, layout.bar, layout.dimm])
        try change("move a BAR", to: [layout.low, layout.ram, layout.movedBAR, layout.dimm])
        try change("split the RAM", to: layout.split(layout.ram) + layout.devices)
        try change("merge it again", to: [layout.ram] + layout.devices)

        try change("log dirty pages", to: [layout.logged(layout.ram)] + layout.devices)
        let first = try table.dirtyLog(of: layout.ram, clear: true)
        report("first pass: send \(first.bitmap.count) of \(layout.ram.pageCount) pages")

        // A slot that is split takes its dirty bits with it, page by page.
        try machine.work()
        let halves = layout.split(layout.logged(layout.ram))
        try change("split it while it logs", to: halves + layout.devices)
        for half in halves {
            let next = try table.dirtyLog(of: half, clear: true)
            report(
                "next pass, slot \(half.id?.description ?? "new"): send \(next.bitmap.count) of \(half.pageCount) pages"
            )
        }
        let last = try table.submit([layout.ram] + layout.devices)
        report("log no more: \(last.summary)")
        let unsent = last.unmappedDirtyPages.flatMap(\.runs).reduce(0) { $0 + $1.count }
        report("dirty since, from the receipt: \(unsent) pages")

        if let fault = machine.stop() { throw GuestFault(description: fault) }
        report("The guest missed nothing: no spurious exit, no lost increment.")
    }
}

extension Receipt {
    /// What was done, in a line.
    fileprivate var summary: String {
        let calls = operations.map { "\($0.call.name) \($0.call.key.id)" }
        let held =
            quiesced
            ? "guest held for \(Int(durations.blackout / .microseconds(1))) µs" : "guest not held"
        return "\(calls.joined(separator: ", ")); \(held)"
    }
}
