// A `commit` that throws.
// error: type 'Hook' does not conform to protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        func commit(_ change: MemslotChange) throws {}
    #else
        func commit(_ change: MemslotChange) {}
    #endif
}
