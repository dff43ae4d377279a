import MemslotService

/// The socket that systemd hands over.
enum SocketActivation {
    /// Takes the socket over.
    ///
    /// - Returns: `nil` if none was handed to this process.
    /// - Throws: where it is not one listening Unix stream socket.
    static func listener(_ handedOver: HandedOverDescriptors) throws(ListeningError) -> Listener? {
        guard let socket = handedOver.sockets.first else { return nil }
        guard handedOver.sockets.count == 1 else {
            throw ListeningError(
                "systemd handed over \(handedOver.sockets.count) sockets; one is served")
        }
        return try Listener(adopting: socket)
    }
}
