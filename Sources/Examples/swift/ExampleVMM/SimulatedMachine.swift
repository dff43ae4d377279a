import MemslotSimulator
import Memslots

/// A simulated VM, for a host without KVM.
struct SimulatedMachine: Machine {
    let table: MemslotTable
    private let backend = SimulatedBackend()
    private let layout: Layout

    init(_ layout: Layout) throws {
        self.layout = layout
        table = try MemslotTable(backend: backend)
        try table.submit(layout.atBoot)
    }

    func work() throws { try backend.touch(layout.ram.guestPhysicalAddress, size: layout.ram.size) }

    func stop() -> String? { nil }
}
