/// A table at one generation: what a reader sees, whole.
public struct TableSnapshot: Sendable {
    /// The generation.
    public let generation: Generation
    /// The array of that generation.
    public let array: MemslotArray
}
