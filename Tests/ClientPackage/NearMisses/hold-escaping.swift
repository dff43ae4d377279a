// An `exclusively` that lets the closure escape.
// error: type 'Hold' does not conform to protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func beginHolding() {}
    func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    func endHolding() {}
    #if MISS
        func exclusively(_ body: @escaping () -> Void) { body() }
    #else
        func exclusively(_ body: () -> Void) { body() }
    #endif
}
