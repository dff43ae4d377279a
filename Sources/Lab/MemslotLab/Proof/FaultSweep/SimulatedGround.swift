package import MemslotSimulator
package import Memslots

/// Simulated VMs.
package struct SimulatedGround: SweepGround {
    private let protection: DirtyLogProtection

    /// Simulated VMs whose dirty logs are cleared as `protection` says.
    package init(_ protection: DirtyLogProtection = .automatic) { self.protection = protection }

    package var name: String { "simulated, \(protection)" }

    package func lack(for scene: SweepScene) -> String? { nil }

    package func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        SweptSimulator(
            SimulatedBackend(
                capabilities: scene.capabilities, dirtyLogProtection: protection))
    }
}

private final class SweptSimulator: SweptVM {
    private let simulator: SimulatedBackend

    init(_ simulator: SimulatedBackend) { self.simulator = simulator }

    var backend: any MemslotBackend { simulator }
    var takesWrites: Bool { true }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 {
        try simulator.createGuestMemfd(size: ByteCount(size))
    }

    func holdsExactly(_ slots: [Memslot]) -> Bool { simulator.installedSlots == slots }

    func write(_ pages: [UInt64], of slot: Memslot) {
        for page in pages {
            let address = GuestPhysicalAddress(
                slot.guestPhysicalAddress.rawValue + page * pageSize.rawValue)
            do throws(TouchError) {
                try simulator.touch(address, size: ByteCount(1), in: slot.addressSpace)
            } catch {
                preconditionFailure("a page of an installed slot: \(error)")
            }
        }
    }
}
