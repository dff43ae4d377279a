extension MemslotTable {
    /// The arrays before the active one that registered readers may still read, oldest first.
    ///
    /// Their memory must stay mapped. Empty after a submit whose receipt is ``Receipt/retired``.
    public var unretiredArrays: [MemslotArray] { pair.unretired.arrays }

    /// Keeps `object`, the memory behind slots, as long as the table or a reader of it lives.
    package func keep(_ object: any AnyObject & Sendable) { pair.keep(object) }

    /// Retires arrays that readers left after their submit had returned. Runs on a thread of the
    /// table's own: the reader that left may be anywhere, and observers are called in transactions.
    func retireLeftArrays() {
        do throws(ReentryError) {
            try serially { publishRetirement() }
        } catch {
            preconditionFailure("a thread of its own is inside no callback")
        }
    }

    /// Releases old arrays that nobody reads, and publishes it if a receipt was not retired.
    func publishRetirement() {
        if let generation = pair.settle() { publish(.retired(generation: generation)) }
    }
}
