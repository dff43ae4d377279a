import Memslots

/// A hook that is told what `fault` says, and not what the table says.
final class BrokenHook: MemslotHook {
    enum Fault {
        case noFinish
        case noAbort
        case commitTwice
        case finishForAbort
    }

    private let inner: any MemslotHook
    private let fault: Fault

    init(_ inner: any MemslotHook, _ fault: Fault) { (self.inner, self.fault) = (inner, fault) }

    var name: String { inner.name }
    var needsQuiescence: Bool { inner.needsQuiescence }

    func prepare(_ change: MemslotChange) throws(HookVeto) { try inner.prepare(change) }

    func commit(_ change: MemslotChange) {
        inner.commit(change)
        if fault == .commitTwice { inner.commit(change) }
    }

    func finish(_ change: MemslotChange) {
        if fault != .noFinish { inner.finish(change) }
    }

    func abort(_ change: MemslotChange) {
        switch fault {
        case .noAbort: return
        case .finishForAbort: inner.finish(change)
        default: inner.abort(change)
        }
    }
}
