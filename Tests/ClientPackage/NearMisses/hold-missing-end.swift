// A hold without `endHolding`.
// error: type 'Hold' does not conform to protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func beginHolding() {}
    func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    func exclusively(_ body: () -> Void) { body() }
    #if MISS
    #else
        func endHolding() {}
    #endif
}
