internal import Glibc
public import MemslotProtocol
public import MemslotSimulator
public import Memslots

extension MemslotService {
    /// Serves a VM that this process made, under a name.
    ///
    /// Peers see its slots by the names of `memories`; one that no mapping covers has a token in
    /// place of its backing, and can only stay as it is. Addresses of this process are neither
    /// taken from peers nor told to them. The process may go on submitting to the table itself;
    /// peers' submits are then resolved anew.
    ///
    /// - Parameters:
    ///   - table: the VM's memory.
    ///   - name: the VM's name, within the rules for names.
    ///   - user: whose VM it is; this process's own user by default.
    ///   - memories: mappings that slots may name, which stay until ``unregister(_:of:)``.
    ///   - simulator: the table's backend where it is a simulator; `nil` for KVM.
    /// - Throws: `vm-exists`, `limit-exceeded`, or `invalid-params` for a name or a mapping.
    public func register(
        table: MemslotTable, as name: String, of user: UInt32? = nil,
        memories: [String: NamedMapping] = [:], simulator: SimulatedBackend? = nil
    ) throws(ProtocolError) {
        for name in [name] + memories.keys {
            if let fault = nameFault(name) {
                throw ProtocolError(
                    ErrorData(.invalidParams, path: "vm"), message: "\"\(name)\": \(fault)")
            }
        }
        let peer = Peer(user: user ?? getuid())
        let mappings: NamedMappings
        do throws(NamedMappings.UnusableMapping) {
            mappings = try NamedMappings(memories)
        } catch {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memories"),
                message: "memory \"\(error.name)\": \(error.reason)")
        }
        let vm: VirtualMachine
        do throws(ReentryError) {
            vm = try VirtualMachine(
                table, simulator: simulator, memory: VMMemory(embedding: name, mappings),
                account: registry.withLock { $0.account(of: peer.user) }, audience: audience)
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        try register(vm, peer)
    }

    /// Ends serving a VM of this process; the VM itself goes on.
    ///
    /// Waits for a peer's submit that runs, so that the mappings may go afterwards.
    ///
    /// - Returns: whether it was registered.
    /// - Throws: `memory-in-use` where slots of the table are backed by memory that peers made:
    ///   submit an array without them first.
    @discardableResult
    public func unregister(
        _ name: String, of user: UInt32? = nil
    ) throws(ProtocolError) -> Bool {
        let peer = Peer(user: user ?? getuid())
        guard let vm = registry.withLock({ $0.vm(name, of: peer) }), vm.memory.isEmbedded else {
            return false
        }
        return try vm.changes.withLock { () throws(ProtocolError) in
            for object in vm.memory.objects.withLock({ $0.all }) where vm.uses(object) {
                throw ProtocolError(
                    .memoryInUse, "slots of \"\(name)\" are backed by \"\(object.name)\"")
            }
            return registry.withLock { $0.remove(vm) }
        }
    }
}
