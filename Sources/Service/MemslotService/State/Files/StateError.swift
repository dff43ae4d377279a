/// Why a state directory can't be used, as a sentence for the person who starts the server.
public struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, where, and what to do.
    public var message: String

    /// Says `message`.
    public init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}
