internal import Glibc
internal import MemslotProtocol
package import MemslotService
internal import Memslots

/// What a scenario is played to.
package protocol ScenarioTarget: Sendable {
    /// Sends one request line and gives the response line, both without their ends.
    ///
    /// - Throws: where no response can be had.
    mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8]
}

/// A service in this process.
package struct InProcessTarget: ScenarioTarget {
    private let service: MemslotService
    private let connection = ServiceConnection(peer: Peer())

    /// Plays to `service`.
    package init(_ service: MemslotService) { self.service = service }

    /// Answers in process.
    package mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
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
