internal import MemslotProtocol
package import MemslotScenario
package import MemslotService
internal import MemslotSimulator
internal import Memslots

/// Plays a scenario on simulated VMs, and gives every submit in it as a scene.
package struct FixtureScenes {
    /// How many submits the scenario has.
    package private(set) var submits = 0
    /// How many of them can't be a scene: their VM is failed or missing, or their request is
    /// refused before it becomes an array.
    package private(set) var withoutScene = 0

    private let service = MemslotService()
    private let name: String
    private var player: ScenarioPlayer

    /// A scenario called `name`.
    package init(_ name: String) {
        self.name = name
        player = ScenarioPlayer(InProcessTarget(service))
    }

    /// Takes the next step of the scenario.
    ///
    /// - Returns: the scene, where the step is a submit that can be one.
    /// - Throws: what the service answers that is no response.
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
            wanted: submit.slots, quiesce: submit.quiesce,
            capabilities: submit.simulator.capabilities)
    }
}
