import MemslotVhostUser
import Memslots

extension VMM {
    /// Keeps the vhost-user back end on `socket` in step with the table. It sees writable memory;
    /// `file` is the descriptor behind a memory object.
    package func attachDisk(
        on socket: Int32, file: @escaping @Sendable (MemoryObjectID) -> Int32?
    ) throws(VhostUserError) -> VhostUserObserver {
        let front = VhostUserFrontEnd(adopting: socket)
        let offer = try front.open(by: .after(.seconds(5)))
        try front.set([.version1], by: .after(.seconds(5)))
        let disk = try VhostUserObserver(
            name: "disk", frontEnd: front, offer: offer, descriptor: file)
        try disk.attach(to: table)
        return disk
    }
}
