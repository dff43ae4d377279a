internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots
internal import Synchronization

/// A VM by name: its table, what carries it, and its memory objects.
final class VirtualMachine: Sendable {
    let name: String
    /// The connection that the VM ends with; `nil` for one that stays.
    let ephemeralConnection: UInt64?
    let table: MemslotTable
    /// The simulator, for what only it can do; `nil` for a KVM VM.
    let simulator: SimulatedBackend?
    let memories = Mutex(MemoryObjects())
    /// Held by whoever changes which memory the slots use: a submit, or the end of an object.
    let changes = Mutex<Void>(())

    init(
        name: String, table: MemslotTable, simulator: SimulatedBackend?,
        ephemeralConnection: UInt64?
    ) {
        self.name = name
        self.table = table
        self.simulator = simulator
        self.ephemeralConnection = ephemeralConnection
    }

    /// What carries it, by its name on the wire.
    var backendName: String { simulator == nil ? "kvm" : "simulated" }

    /// Whether a slot of the VM is backed by `object`.
    func uses(_ object: MemoryObject) -> Bool {
        let slots = table.read { $0.array.slots } + (table.failure?.installed ?? [])
        return slots.contains { slot in
            if slot.memory?.object == object.id { return true }
            guard case .guestMemfd(let handle) = object.kind else { return false }
            return slot.guestMemfd?.descriptor == handle
        }
    }
}
