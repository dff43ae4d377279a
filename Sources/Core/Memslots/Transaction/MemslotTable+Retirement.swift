extension MemslotTable {
    /// The arrays before the present one that registered readers may still look at, oldest first.
    ///
    /// Memory that they name must stay. Empty after a submit whose receipt says `retired`.
    public var unretiredArrays: [MemslotArray] { pair.unretired.arrays }

    /// Keeps `object`, the memory behind slots, as long as the table or a reader of it is there.
    package func keep(_ object: any AnyObject & Sendable) { pair.keep(object) }

    /// Lets arrays go that readers left after their submit had returned. Runs on a thread of the
    /// table's own: the reader that left may be anywhere, and observers are told in transactions.
    func settle() {
        do throws(ReentryError) {
            try serially { tellRetired() }
        } catch {
            preconditionFailure("a thread of its own is inside of nothing")
        }
    }

    /// Lets old arrays go that nobody is in, and tells it where a receipt has said otherwise.
    func tellRetired() {
        if let generation = pair.settle() { tell(.retired(generation: generation)) }
    }
}
