/// Why a server can't listen, as a sentence for the person who starts it.
public struct ListeningError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, where, and what to do.
    public var message: String

    /// Says `message`.
    public init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}
