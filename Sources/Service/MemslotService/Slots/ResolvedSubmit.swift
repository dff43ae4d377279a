package import MemslotProtocol
package import MemslotSimulator
package import Memslots
import Synchronization

/// A submit of a scenario in the core's words, and the simulated VM that it is for.
package struct ResolvedSubmit: Sendable {
    /// The VM's table.
    package let table: MemslotTable
    /// What carries the table.
    package let simulator: SimulatedBackend
    /// The array, in request order; slots without an id have none yet.
    package let slots: [Memslot]
    /// How vCPUs are held out.
    package let quiesce: SubmitOptions.Quiesce
}

extension MemslotService {
    /// What a submit line asks, with nothing carried out: so that it can be carried out elsewhere.
    ///
    /// - Returns: `nil` where it asks for nothing that a simulated VM's table would judge.
    package func resolve(submit params: JSONValue?, of peer: Peer) -> ResolvedSubmit? {
        do throws(ProtocolError) {
            let parameters = try SubmitParameters(params)
            guard let vm = registry.withLock({ $0.vm(parameters.vm, of: peer) }),
                let simulator = vm.simulator
            else { return nil }
            let resolver = try SlotResolver(parameters.slots, vm.memory.names, present: [])
            guard resolver.faults.isEmpty else { return nil }
            return ResolvedSubmit(
                table: vm.table, simulator: simulator, slots: resolver.slots,
                quiesce: parameters.quiesce)
        } catch {
            return nil
        }
    }
}
