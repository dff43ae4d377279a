internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func subscribe(
        _ request: Request, _ exchange: Exchange, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (peer, queue) = (exchange.peer, exchange.connection.events)
        let named: VirtualMachine?
        if request.vmName != nil {
            named = try read(request, peer, as: EventsParameters.init).vm
        } else {
            _ = try EventsParameters(request.params)
            named = nil
        }
        let snapshots = try registry.withLock { registry throws(ProtocolError) in
            if !registry.follows(named, peer) {
                try registry.account(of: peer.user).subscribe(1, limits)
                registry.follow(named, peer, queue)
            }
            let vms = named.map { [$0] } ?? registry.all(of: peer)
            return vms.compactMap { $0.feed.follow(peer.connection, queue) }
        }
        if let named, snapshots.isEmpty { throw .gone(named.name) }
        writer.beginObject()
        writer.key("vms")
        writer.beginArray()
        for (table, names) in snapshots { writer.snapshot(table, names) }
        writer.endArray()
        writer.endObject()
    }

    func unsubscribe(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        if request.vmName != nil {
            let (vm, _) = try read(request, peer, as: EventsParameters.init)
            registry.withLock { $0.unfollow(vm, peer) }
        } else {
            _ = try EventsParameters(request.params)
            registry.withLock { $0.unfollowAll(peer) }
        }
        writer.beginObject()
        writer.endObject()
    }
}

extension JSONWriter {
    /// Bytes of a slot's text, as they mostly are.
    private static var usualSlotBytes: Int { 128 }

    /// Writes `vm`, `generation`, perhaps `installed`, and `slots`, as `memslots.get` does.
    mutating func snapshot(_ table: EventFeed.Published, _ names: SlotNames) {
        beginObject()
        key("vm")
        string(names.vm)
        key("generation")
        integer(table.generation.rawValue)
        if table.failure != nil {
            key("installed")
            bool(true)
        }
        key("slots")
        // One by one: as messages they would take more memory than the text.
        reserve(table.slots.count * Self.usualSlotBytes)
        beginArray()
        for slot in table.slots {
            let message = names.message(of: slot)
            self.slot(message.slot, backing: message.backing, guestMemfd: message.guestMemfd)
        }
        endArray()
        endObject()
    }
}

extension ProtocolError {
    /// The error of a VM that is not there.
    static func gone(_ vm: String) -> ProtocolError {
        ProtocolError(.unknownVM, "there is no VM \"\(vm)\"; vm.list tells those there are")
    }
}
