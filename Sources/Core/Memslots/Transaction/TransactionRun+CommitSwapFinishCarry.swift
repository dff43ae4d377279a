/// The steps after the last operation, which can't fail.
extension TransactionRun {
    func commit(_ step: Int) {
        if let (hook, whole) = wholeHook(step) { return hook.commit(whole) }
        hook(step).commit(change(step))
    }

    /// Makes the inactive array the active one, under the barrier of the readers.
    func swap() { surroundings.pair.swap() }

    func finish(_ step: Int) {
        if let (hook, whole) = wholeHook(step) { return hook.finish(whole) }
        hook(step).finish(change(step))
    }

    /// Carries harvested bits to the new array.
    ///
    /// - Returns: the dirty pages that no logging slot of it maps.
    mutating func carryDirtyBits() -> [DirtyPages] { overlay.carry(harvest, to: target) }
}
