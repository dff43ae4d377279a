extension MemslotTable {
    /// Runs `body` with the table as it is, which can't change until `body` returns.
    ///
    /// The simple way to read: a `sync` block on the array's Dispatch queue. It waits while a swap
    /// is under way. A reader that stays holds submits up, until they give up at their deadline.
    /// From inside a reader, a hook, an observer or the vCPU gate it works too; a hook sees the
    /// old array, an observer the new one.
    ///
    /// - Parameters:
    ///   - name: told in errors if the reader doesn't leave in time.
    ///   - body: looks at the snapshot. What it keeps of it is a copy, whose memory may be
    ///     unmapped after it returns.
    public func read<R, E: Error>(
        as name: String = "reader", _ body: (TableSnapshot) throws(E) -> R
    ) throws(E) -> R {
        // These threads hold the array in place already; to wait here would be for themselves.
        if domain.isIn(.reader) || domain.isIn(.transaction) { return try body(pair.current) }
        let result: Result<R, E> = pair.read(as: name) { snapshot in
            domain.with(.reader) {
                do throws(E) { return .success(try body(snapshot)) } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }

    /// The table as it is now.
    public func snapshot() -> TableSnapshot { read { $0 } }
}
