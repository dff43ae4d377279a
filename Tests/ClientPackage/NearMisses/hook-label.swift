// A `prepare` with an argument label.
// error: instance method 'prepare(change:)' has different argument labels from those required by protocol 'MemslotHook'
import Memslots

final class Hook: MemslotHook {
    let name = "hook"
    let needsQuiescence = false
    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
    #if MISS
        func prepare(change: MemslotChange) throws(HookVeto) {}
    #else
        func prepare(_ change: MemslotChange) throws(HookVeto) { throw HookVeto("no") }
    #endif
}
