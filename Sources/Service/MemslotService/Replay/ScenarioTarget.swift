internal import Glibc
internal import MemslotProtocol

/// What a scenario is played to.
public protocol ScenarioTarget: Sendable {
    /// Sends one request line and gives the response line, both without their ends.
    ///
    /// - Throws: where no response can be had.
    mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8]
}

/// The other side is gone.
public struct TargetLost: Error, Hashable, Sendable {
    /// A sentence that says what happened.
    public var message: String

    /// Says `message`.
    public init(_ message: String) { self.message = message }
}

/// A service in this process.
public struct InProcessTarget: ScenarioTarget {
    private let service: MemslotService
    private let connection = ServiceConnection(peer: Peer())

    /// Plays to `service`.
    public init(_ service: MemslotService) { self.service = service }

    /// Answers in process.
    public mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        var writer = JSONWriter()
        let passed = service.answer(
            IncomingMessage(
                parsing: line, depthLimit: service.limits.depth, batchLimit: service.limits.batch),
            on: connection, into: &writer)
        // There is nobody to pass them to.
        for descriptor in passed { close(descriptor) }
        return writer.bytes
    }
}
