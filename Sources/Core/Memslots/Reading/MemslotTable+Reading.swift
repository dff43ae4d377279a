extension MemslotTable {
    /// Runs `body` with the present array, which can't change until `body` returns.
    ///
    /// The simple way to read: a `sync` block on the array's Dispatch queue. It waits while a swap
    /// is under way. A reader that does not leave delays submits until they time out.
    /// From inside a reader, a hook, an observer or the vCPU gate it works too; a hook sees the
    /// old array, an observer the new one.
    ///
    /// - Parameters:
    ///   - name: shown in errors if the reader doesn't leave in time.
    ///   - body: reads the snapshot. A copy that it keeps may name memory that is unmapped after
    ///     it returns.
    public func read<R, E: Error>(
        as name: String = "reader", _ body: (TableSnapshot) throws(E) -> R
    ) throws(E) -> R {
        // These threads pin the array already; waiting here would deadlock.
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

    /// The present array with its generation.
    public func snapshot() -> TableSnapshot { read { $0 } }
}
