// A `waitUntilHeld` without its argument label.
// error: instance method 'waitUntilHeld' has different argument labels from those required by protocol 'VCPUHold'
import Memslots

final class Hold: VCPUHold {
    func beginHolding() {}
    func exclusively(_ body: () -> Void) { body() }
    func endHolding() {}
    #if MISS
        func waitUntilHeld(_ deadline: Deadline) -> [String] { [] }
    #else
        func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    #endif
}
