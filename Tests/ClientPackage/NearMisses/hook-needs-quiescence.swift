// A misspelt `needsQuiescence`.
// error: type 'Hook' does not conform to protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        let needsQuiescense = false
    #else
        let needsQuiescence = false
    #endif
}
