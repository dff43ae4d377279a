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
        // Each submit contains the whole array. Afterwards the VM has that array, or the previous one.
        @discardableResult
        func change(_ step: String, to array: [Memslot]) throws -> Receipt {
            let receipt = try table.submit(array)
            report("\(step): \(receipt.summary)")
            try machine.work()
            return receipt
        }
        let (ram, devices) = (layout.ram, layout.devices)
        try change("plug a DIMM", to: layout.atBoot + [layout.dimm])
        try change("move a BAR", to: [ram] + devices)
        let (low, high) = ram.split(at: layout.middle)
        try change("split the RAM", to: [low, high] + devices)
        try change("merge it again", to: [ram] + devices)

        let logged = ram.logging(true)
        try change("log dirty pages", to: [logged] + devices)
        let first = try table.dirtyLog(of: logged, clear: true).bitmap
        report("first pass: send \(first.count) of \(ram.pageCount) pages")

        // The halves of a split slot have the dirty bits of their pages.
        try machine.work()
        let (lowHalf, highHalf) = logged.split(at: layout.middle)
        let split = try change("split it while it logs", to: [lowHalf, highHalf] + devices)
        for half in split.slots.prefix(2) {
            let dirty = try table.dirtyLog(of: half, clear: true).bitmap.count
            let address = half.guestPhysicalAddress
            report("next pass, slot at \(address): send \(dirty) of \(half.pageCount) pages")
        }
        let last = try table.submit([ram] + devices)
        report("log no more: \(last.summary)")
        let unsent = last.unmappedDirtyPages.flatMap(\.runs).reduce(0) { $0 + $1.count }
        report("dirty since, from the receipt: \(unsent) pages")

        if let fault = machine.stop() { throw GuestFault(description: fault) }
        report("The guest missed nothing: no spurious exit, no lost increment.")
    }
}

extension Receipt {
    /// The operations and the blackout, in a line.
    fileprivate var summary: String {
        let calls = operations.map { "\($0.call.name) \($0.call.key.id)" }
        let microseconds = Int(durations.blackout / .microseconds(1))
        let held = quiesced ? "guest held for \(microseconds) µs" : "guest not held"
        return "\(calls.joined(separator: ", ")); \(held)"
    }
}
