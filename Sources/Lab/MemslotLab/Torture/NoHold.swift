import Memslots

/// Holds nobody out: what a VMM does that changes slots beside its running guest.
final class NoHold: VCPUHold {
    func begin() {}
    func waitUntilHeld(_ deadline: Deadline) -> [String] { [] }
    func exclusively(_ body: () -> Void) { body() }
    func end() {}
}
