internal import Glibc
public import MemslotProtocol
package import MemslotSimulator
public import Memslots

extension MemslotService {
    /// Serves a VM of this process under a name.
    ///
    /// Peers see its slots by the names of `memories`. A slot that no mapping contains has a token
    /// in place of its memory, and peers can only keep or remove it. Peers neither submit nor
    /// receive addresses of this process. The process may still submit to the table itself.
    ///
    /// - Parameters:
    ///   - table: the VM's memory.
    ///   - name: the VM's name, which must follow the rules for names.
    ///   - user: the VM's user; this process's user by default.
    ///   - memories: the mappings that slots may name. They must exist until ``unregister(_:of:)``.
    /// - Throws: `vm-exists`, `limit-exceeded`, or `invalid-params` for a name or a mapping.
    public func register(
        table: MemslotTable, as name: String, of user: UInt32? = nil,
        memories: [String: NamedMapping] = [:]
    ) throws(ProtocolError) {
        try register(
            table: table, as: name, of: user, memories: memories,
            simulator: table.backend as? SimulatedBackend)
    }

    /// Serves a VM whose backend wraps `simulator`.
    package func register(
        table: MemslotTable, as name: String, of user: UInt32? = nil,
        memories: [String: NamedMapping], simulator: SimulatedBackend?
    ) throws(ProtocolError) {
        for name in memories.keys { try Self.validate(name: name, path: "vm") }
        try register(table, as: name, of: user, NamedMappings(memories), simulator: simulator)
    }

    /// Serves a VM of another process under a name.
    ///
    /// Peers can't change it: a request that would change it fails with `wrong-backend`. To end it,
    /// call ``unregister(_:of:)``.
    ///
    /// - Parameters:
    ///   - name: the VM's name, which must follow the rules for names.
    ///   - user: the VM's user; this process's user by default.
    /// - Returns: the VM, in which this process records changes.
    /// - Throws: `vm-exists`, `limit-exceeded`, or `invalid-params` for a name.
    public func observe(
        vm name: String, of user: UInt32? = nil
    ) throws(ProtocolError) -> ObservedVM {
        let observed = try converting(
            { (error: InvalidArray) in ProtocolError(.invalidRequest, error.message) },
            ObservedVM(name))
        try register(observed.table, as: name, of: user, NamedMappings(), observed: observed)
        return observed
    }

    private func register(
        _ table: MemslotTable, as name: String, of user: UInt32?, _ mappings: NamedMappings,
        simulator: SimulatedBackend? = nil, observed: ObservedVM? = nil
    ) throws(ProtocolError) {
        try Self.validate(name: name, path: "vm")
        let peer = Peer(user: user ?? getuid())
        try withRoom(for: name, of: peer) { () throws(ProtocolError) in
            let vm = try VirtualMachine(
                table, simulator: simulator, memory: VMMemory(vm: name, embedding: mappings),
                account: registry.withLock { $0.account(of: peer.user) }, audience: audience,
                observed: observed)
            try register(vm, peer)
        }
    }

    /// Ends the serving of a VM of this or another process. The VM itself goes on.
    ///
    /// Waits for a running submit of a peer, so that the mappings may be unmapped afterwards.
    ///
    /// - Returns: whether the VM was registered.
    /// - Throws: `memory-in-use` if slots of the table use memory that peers created. Submit an array
    ///   without them first.
    @discardableResult
    public func unregister(_ name: String, of user: UInt32? = nil) throws(ProtocolError) -> Bool {
        let peer = Peer(user: user ?? getuid())
        guard let vm = registry.withLock({ $0.vm(name, of: peer) }), vm.memory.isEmbedded else {
            return false
        }
        return try vm.changes.withLock { _ throws(ProtocolError) in
            for object in vm.memory.objects.withLock({ $0.all }) where vm.uses(object) {
                throw ProtocolError(.memoryInUse, "slots of \"\(name)\" use \"\(object.name)\"")
            }
            return registry.withLock { $0.remove(vm) }
        }
    }

    /// Sends subscribers a notification of this process's own, after the ones that are queued.
    ///
    /// - Parameters:
    ///   - line: the notification, without the line's end. Its method must not be one of the
    ///     service's.
    ///   - name: the VM whose followers receive it; `nil` for all subscribers of the user, including
    ///     those that followed a VM of ``observe(vm:of:)`` until it ended.
    ///   - user: the VMs' user; this process's user by default.
    public func announce(_ line: [UInt8], toFollowersOf name: String?, of user: UInt32? = nil) {
        let peer = Peer(user: user ?? getuid())
        guard let name else {
            for queue in registry.withLock({ $0.audience(of: peer) }) { queue.enqueue(line) }
            return
        }
        registry.withLock { $0.vm(name, of: peer) }?.feed.announce(line)
    }
}

extension VirtualMachine {
    func refuseIfObserved() throws(ProtocolError) {
        guard observed == nil else {
            throw ProtocolError(
                .wrongBackend, "\"\(name)\" belongs to another process, which alone changes it")
        }
    }
}
