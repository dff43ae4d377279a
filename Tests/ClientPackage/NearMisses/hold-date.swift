// A `waitUntilHeld` with another kind of deadline.
// error: type 'Hold' does not conform to protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func beginHolding() {}
    func exclusively(_ body: () -> Void) { body() }
    func endHolding() {}
    #if MISS
        func waitUntilHeld(by deadline: ContinuousClock.Instant) -> [String] { [] }
    #else
        func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    #endif
}
