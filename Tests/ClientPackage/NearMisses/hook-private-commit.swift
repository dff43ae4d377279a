// A private `commit`.
// error: method 'commit' must be as accessible as its enclosing type because it matches a requirement in protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        private func commit(_ change: MemslotChange) {}
    #else
        func commit(_ change: MemslotChange) {}
    #endif
}
