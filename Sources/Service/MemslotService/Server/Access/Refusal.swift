internal import MemslotProtocol

/// Why a connection is closed before its first request, told in one line.
enum Refusal {
    case notPermitted(UInt32)
    case unknownPeer
    case tooManyConnections(Int)
    case tooManyDescriptors
    case noThread

    /// What the peer is told.
    var error: ProtocolError {
        switch self {
        case .notPermitted(let user):
            ProtocolError(.notPermitted, "user \(user) may not use this server")
        case .unknownPeer: ProtocolError(.notPermitted, "the kernel does not say who you are")
        case .tooManyConnections(let limit):
            ProtocolError(
                ErrorData(.limitExceeded, limit: "connections"),
                message: "at most \(limit) connections are served at once; close one first")
        case .tooManyDescriptors:
            ProtocolError(
                ErrorData(.limitExceeded, limit: "descriptors"),
                message: "the server has no file descriptor left; try again later")
        case .noThread:
            ProtocolError(
                ErrorData(.limitExceeded, limit: "threads"),
                message: "the server has no thread left; try again later")
        }
    }

    /// Whether the peer may be waited for: it may be about to send its first request, and would
    /// find the connection closed before it reads why.
    var lingers: Bool {
        switch self {
        case .notPermitted, .unknownPeer, .tooManyConnections: true
        case .tooManyDescriptors, .noThread: false
        }
    }

    /// Tells the peer, without waiting for it.
    func send(to socket: Int32) {
        var writer = JSONWriter()
        writer.errorResponse(error, id: .null)
        writer.newLine()
        _ = DescriptorIO.send(
            writer.finish(), to: socket, isSocket: true, waits: false)
    }
}
