internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension StateStore {
    /// What `server.info` reports of the state.
    ///
    /// VMs by name are reported to their own user only. The users of damaged records are unknown.
    func report(for peer: Peer) -> ServerState {
        let troubles = troubles.withLock { $0 }
        return ServerState(
            hasDescriptorStore: descriptors != nil,
            unrestored: (troubles.unrestored[peer.user] ?? [:]).sorted { $0.key < $1.key }
                .map { vm, trouble in
                    ServerState.Record(
                        vm: vm, file: StateNames.record(trouble.record), reason: trouble.reason)
                },
            damaged: troubles.damaged.map { ServerState.Record(file: $0.file, reason: $0.reason) },
            ahead: troubles.ahead.filter { $0.value.user == peer.user }
                .sorted { $0.key < $1.key }
                .map { ServerState.Record(vm: $0.value.vm, file: $0.key) })
    }
}
