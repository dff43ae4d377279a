// A `waitUntilHeld` with another kind of deadline.
// error: type 'Hold' does not conform to protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func begin() {}
    func exclusively(_ body: () -> Void) { body() }
    func end() {}
    #if MISS
        func waitUntilHeld(by deadline: ContinuousClock.Instant) -> [String] { [] }
    #else
        func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    #endif
}
