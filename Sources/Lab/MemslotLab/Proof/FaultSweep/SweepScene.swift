import MemslotProtocol
package import MemslotScenario
package import MemslotService
import MemslotSimulator
package import Memslots

package struct SweepScene: Sendable {
    /// Its origin: file and line.
    package var origin: String
    package var before: [Memslot]
    /// The submitted array; slots may have no id.
    package var wanted: [Memslot]
    /// When vCPUs are held.
    package var quiesce: SubmitOptions.Quiesce
    /// Whether ranges become private too. Then the changes follow all operations.
    package var hasAttributes: Bool
    package var capabilities: Capabilities

    /// The slots' guest_memfds with their required sizes.
    var guestMemfds: [Int32: UInt64] {
        var sizes: [Int32: UInt64] = [:]
        for slot in before + wanted {
            guard let binding = slot.guestMemfd, binding != .own else { continue }
            let end = binding.offset.rawValue + slot.size.rawValue
            sizes[binding.descriptor] = max(sizes[binding.descriptor] ?? 0, end)
        }
        return sizes
    }
}

/// Plays a scenario on simulated VMs and returns each submit as a scene.
package struct FixtureScenes {
    package private(set) var submits = 0
    /// Submits on a failed or missing VM, or refused before they become an array.
    package private(set) var withoutScene = 0

    private let service = MemslotService()
    private let name: String
    private var player: ScenarioPlayer

    /// - Parameter host: replaces members of the `simulated` of each VM, such as its profile.
    package init(_ name: String, host: [(name: String, value: String)] = []) {
        self.name = name
        player = ScenarioPlayer(InProcessTarget(service), host: host)
    }

    /// Plays a step. Returns the scene if it is a submit with one. Throws an invalid reply.
    package mutating func play(_ step: ScenarioStep) throws(TargetLost) -> SweepScene? {
        let scene = scene(of: step)
        _ = try player.play(step)
        return scene
    }

    private mutating func scene(of step: ScenarioStep) -> SweepScene? {
        guard case .request(let request) = step.content,
            request.method == Method.memslotsSubmit.rawValue
        else { return nil }
        submits += 1
        guard let submit = service.resolve(submit: request.params, of: Peer()),
            submit.table.failure == nil
        else {
            withoutScene += 1
            return nil
        }
        return SweepScene(
            origin: "\(name):\(step.line)", before: submit.table.snapshot().array.slots,
            wanted: submit.slots, quiesce: submit.quiesce, hasAttributes: submits % 3 == 2,
            capabilities: submit.simulator.capabilities)
    }
}

// Each VM has its own guest_memfds with other descriptors.

extension Memslot {
    /// The slot with its guest_memfd replaced by that in `descriptors`.
    func renaming(_ descriptors: [Int32: Int32]) -> Memslot {
        guard let binding = guestMemfd, let to = descriptors[binding.descriptor] else {
            return self
        }
        return Memslot(
            id: id, addressSpace: addressSpace, guestPhysicalAddress: guestPhysicalAddress,
            size: size, userspaceAddress: userspaceAddress, flags: flags, memory: memory,
            guestMemfd: GuestMemfdBinding(descriptor: to, offset: binding.offset))
    }
}

extension SlotCall {
    func renaming(_ descriptors: [Int32: Int32]) -> SlotCall {
        switch self {
        case .create(let slot): .create(slot.renaming(descriptors))
        case .delete(let slot): .delete(slot.renaming(descriptors))
        // Slots with a guest_memfd are neither moved nor reflagged.
        case .move, .reflag: self
        }
    }
}
