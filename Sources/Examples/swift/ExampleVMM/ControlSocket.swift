import Foundation
import MemslotService
import Memslots

/// The VMM's own control socket. It serves the VM as "guest", and its mapping as named memory "ram".
///
/// KVM accepts memory changes only from the process that created the VM, so a daemon cannot make them.
struct ControlSocket {
    private let server: SocketServer

    init(_ table: MemslotTable, _ memory: GuestMemory, at path: String) throws {
        let service = MemslotService()
        try service.register(
            table: table, as: "guest",
            memories: ["ram": NamedMapping(address: memory.base, size: memory.size)])
        let server = SocketServer(service)
        let listener = try server.listen(at: SocketPath(path))
        Thread.detachNewThread { _ = server.run(listener) }
        self.server = server
    }

    /// Stops serving once the running requests have ended.
    func stop() { server.stop() }
}
