// A `finish` with an optional parameter list: all changes at once.
// error: type 'Hook' does not conform to protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    func commit(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        func finish(_ changes: [MemslotChange]) {}
    #else
        func finish(_ change: MemslotChange) {}
    #endif
}
