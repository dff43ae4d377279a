internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func subscribe(
        to name: String?, _ connection: ServiceConnection
    ) throws(ProtocolError) -> Reply {
        let (peer, queue) = (connection.peer, connection.events)
        let named: VirtualMachine?
        if let name { named = try vm(name, of: peer) } else { named = nil }
        let snapshots = try registry.withLock { registry throws(ProtocolError) in
            if !registry.follows(named, peer) {
                try registry.account(of: peer.user).subscribe(1, limits)
                registry.follow(named, peer, queue)
            }
            let vms = named.map { [$0] } ?? registry.all(of: peer)
            return vms.compactMap { $0.feed.follow(peer.connection, queue) }
        }
        if let named, snapshots.isEmpty { throw .gone(named.name) }
        return .subscribed(snapshots.map { ArrayMessage($0.table, $0.names) })
    }

    func unsubscribe(from name: String?, _ peer: Peer) throws(ProtocolError) -> Reply {
        if let name {
            let vm = try vm(name, of: peer)
            registry.withLock { $0.unfollow(vm, peer) }
        } else {
            registry.withLock { $0.unfollowAll(peer) }
        }
        return .done
    }
}
