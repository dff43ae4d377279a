import MemslotSimulator
import Memslots

/// A VM whose guest is at work.
protocol Machine {
    /// The VM's memory.
    var table: MemslotTable { get }

    /// Lets the guest write to every page of ``Layout/ram`` some hundred times.
    func work() throws

    /// Stops the guest.
    ///
    /// - Returns: a fault that the guest met; `nil` if it met none.
    func stop() -> String?
}

/// A simulated VM, for a host without KVM.
struct SimulatedMachine: Machine {
    let table: MemslotTable
    private let backend = SimulatedBackend()
    private let ram: Memslot

    init(_ layout: Layout) throws {
        ram = layout.ram
        table = try MemslotTable(backend: backend)
        try table.submit(layout.atBoot)
    }

    func work() throws { try backend.touch(ram.guestPhysicalAddress, size: ram.size) }

    func stop() -> String? { nil }
}
