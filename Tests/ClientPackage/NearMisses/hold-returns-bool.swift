// A `waitUntilHeld` that returns whether vCPUs are held.
// error: type 'Hold' does not conform to protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func beginHolding() {}
    func exclusively(_ body: () -> Void) { body() }
    func endHolding() {}
    #if MISS
        func waitUntilHeld(by deadline: Deadline) -> Bool { true }
    #else
        func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    #endif
}
