// A `prepare` with another parameter type.
// error: type 'Hook' does not conform to protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        func prepare(_ change: Memslot) throws(HookVeto) {}
    #else
        func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    #endif
}
