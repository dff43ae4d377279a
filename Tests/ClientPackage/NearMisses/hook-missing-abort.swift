// A hook without `abort`, which would leak what `prepare` did.
// error: type 'Hook' does not conform to protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    #if MISS
    #else
        func abort(_ change: MemslotChange) {}
    #endif
}
