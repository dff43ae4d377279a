/// The steps before the drain, and the abort that reverses them.
extension TransactionRun {
    /// The hook of `step`: each change goes to every hook before the next change.
    func hook(_ step: Int) -> any MemslotHook {
        surroundings.hooks[step % surroundings.hooks.count]
    }

    func change(_ step: Int) -> MemslotChange { changes[step / surroundings.hooks.count] }

    /// The hook of `step` if it receives the transaction as a whole, and the transaction. Its step
    /// comes after those of all changes.
    func wholeHook(_ step: Int) -> (hook: any TransactionHook, changes: TransactionChanges)? {
        let index = step - changes.count * surroundings.hooks.count
        guard index >= 0, let whole else { return nil }
        return (surroundings.transactionHooks[index], whole)
    }

    /// The hook that refused at `step`, and the change that it refused.
    func refusal(_ step: Int) -> (hook: String, change: MemslotChange) {
        if let (hook, _) = wholeHook(step) { return (hook.name, changes[0]) }
        return (hook(step).name, change(step))
    }

    func prepare(_ step: Int) -> TransactionMachine.Event {
        do throws(HookVeto) {
            if let (hook, whole) = wholeHook(step) {
                try hook.prepare(whole)
            } else {
                try hook(step).prepare(change(step))
            }
            return .done
        } catch {
            return .vetoed(error)
        }
    }

    func abort(_ step: Int) {
        if let (hook, whole) = wholeHook(step) { return hook.abort(whole) }
        hook(step).abort(change(step))
    }

    /// Builds the inactive array while readers use the active one.
    func build() { surroundings.pair.build(target, privateRanges) }
}
