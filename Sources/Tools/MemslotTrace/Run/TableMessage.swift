import CRunRecord
import MemslotScenario
import Memslots

/// A region in a vhost-user message by which a VMM sent a memory table to a device process.
package struct TableMessage: Hashable, Sendable {
    var line: Int
    var thread: ThreadID
    var machine: Int
    var request: UInt32
    var socket: Int32
    /// The process at the other end; 0 if it is not known.
    var peer: Int32
    /// Whether no slot changed while it was sent, so that the array at that moment is known.
    var isExact: Bool
    var guestAddress, size: UInt64

    init(_ words: crun_record, number: Int) {
        line = number
        (thread, machine) = (ThreadID(words), Int(words.vm))
        let own = words.table
        (request, socket, peer) = (own.request, own.socket, own.peer)
        isExact = own.is_exact != 0
        (guestAddress, size) = (own.guest_phys_addr, own.memory_size)
    }

    var name: String { [5: "SET_MEM_TABLE", 37: "ADD_MEM_REG"][request] ?? "REM_MEM_REG" }

    var target: String { (peer > 0 ? "process \(peer)" : "a process") + " (descriptor \(socket))" }

    /// The memory in it that the guest did not have under `slots`; `nil` if that is not known.
    func finding(under slots: [Memslot]) -> Finding? {
        let end = guestAddress.addingSaturated(size)
        guard request != 38, isExact, end > guestAddress else { return nil }
        let table = SpaceRange(space: .main, start: guestAddress, end: end)
        let missing = slots.reduce([table]) { missing, slot in
            missing.flatMap { $0.subtracting(slot.range) }
        }
        guard let first = missing.first else { return nil }
        let ranges = missing.prefix(8).map { "\(hex($0.start..<$0.end))" }
        return Finding(
            .earlyTable, .error,
            (line > 0 ? "line \(line), " : "")
                + "\(name): table sent to \(target) with memory that the guest did not have "
                + "yet: \(ranges.joined(separator: ", "))" + (missing.count > 8 ? ", …" : ""),
            range: first.start..<first.end)
    }
}
