import Memslots

/// A hold that does what it should, but for what `fault` says.
final class BrokenHold: VCPUHold {
    enum Fault {
        /// Takes vCPUs for held at once.
        case doesNotWait
        /// As ``doesNotWait``, and without the barrier.
        case doesNotHold
        /// Lets vCPUs in again before the calls are made.
        case opensEarly
        /// Never lets them in again.
        case staysClosed
        /// Tells nobody's name.
        case namesNobody
    }

    private let gate: VCPUGate
    private let fault: Fault

    init(_ gate: VCPUGate, _ fault: Fault) { (self.gate, self.fault) = (gate, fault) }

    func begin() { gate.begin() }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        switch fault {
        case .doesNotWait, .doesNotHold: []
        case .namesNobody: gate.waitUntilHeld(by: deadline).map { _ in "somebody" }
        default: gate.waitUntilHeld(by: deadline)
        }
    }

    func exclusively(_ body: () -> Void) {
        switch fault {
        case .doesNotHold: body()
        case .opensEarly:
            gate.end()
            body()
        default: gate.exclusively(body)
        }
    }

    func end() {
        if fault != .staysClosed { gate.end() }
    }
}
