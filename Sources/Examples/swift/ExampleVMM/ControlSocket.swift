import Foundation
import MemslotService
import MemslotTestKit
import Memslots

/// The VMM's own control socket: its VM under a name, its mapping as named memory.
///
/// KVM takes memory changes only from the process that made the VM, so that no daemon could do it.
struct ControlSocket {
    private let server: SocketServer

    init(_ table: MemslotTable, _ layout: Layout, at path: String) throws {
        let memory = layout.memory

        // [socket]
        let service = MemslotService()
        try service.register(
            table: table, as: "guest",
            memories: ["ram": NamedMapping(address: memory.base, size: memory.size)])
        let server = SocketServer(service, access: PeerAccess())
        let listener = try Listener(at: SocketPath(path), access: PeerAccess())
        Thread.detachNewThread { _ = server.run(listener) }
        // [/socket]
        self.server = server
    }

    /// Ends it, once the requests that run are done.
    func stop() { server.stop() }
}
