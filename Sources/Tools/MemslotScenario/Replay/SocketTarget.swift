package import MemslotService

/// A daemon behind a socket, to play scenarios to. A class, for a connection can't be copied.
package final class SocketTarget: ScenarioTarget {
    // Unchecked use: a target is played to by one thread at a time, as its `mutating` says.
    nonisolated(unsafe) private var connection: ClientConnection

    /// Connects to the socket at `path`.
    ///
    /// - Throws: why not, as a sentence.
    package init(_ path: SocketPath) throws(TargetLost) { connection = try ClientConnection(path) }

    /// Sends a line, and waits for its response; notifications are passed over.
    package func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        try connection.ask(line + [UInt8(ascii: "\n")]).line
    }
}
