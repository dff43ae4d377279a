/// The steps before the drain, and the abort that reverses them.
extension TransactionRun {
    /// The hook of `step`: each change goes to every hook before the next change.
    func hook(_ step: Int) -> any MemslotHook {
        surroundings.hooks[step % surroundings.hooks.count]
    }

    func change(_ step: Int) -> MemslotChange {
        changes[step / surroundings.hooks.count]
    }

    func prepare(_ step: Int) -> TransactionMachine.Event {
        do throws(HookVeto) {
            try hook(step).prepare(change(step))
            return .done
        } catch {
            return .vetoed(error)
        }
    }

    func abort(_ step: Int) { hook(step).abort(change(step)) }

    /// Builds the inactive array while readers use the active one.
    func build() { surroundings.pair.build(target) }
}
