internal import Glibc
public import MemslotProtocol
internal import Memslots

extension MemslotService {
    /// Tells of a VM that another process has, under a name.
    ///
    /// Nothing that a peer asks changes it: what would is `wrong-backend`.
    /// ``unregister(_:of:)`` ends it.
    ///
    /// - Parameters:
    ///   - name: the VM's name, within the rules for names.
    ///   - user: whose VM it is; this process's own user by default.
    /// - Returns: what is told of its changes.
    /// - Throws: `vm-exists`, `limit-exceeded`, or `invalid-params` for a name.
    public func observe(
        vm name: String, of user: UInt32? = nil
    ) throws(ProtocolError) -> ObservedVM {
        if let fault = nameFault(name) {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "vm"), message: "\"\(name)\": \(fault)")
        }
        let peer = Peer(user: user ?? getuid())
        let observed: ObservedVM
        do throws(InvalidArray) {
            observed = try ObservedVM(name)
        } catch {
            throw ProtocolError(.invalidRequest, "\(error)")
        }
        let vm: VirtualMachine
        do throws(ReentryError) {
            vm = try VirtualMachine(
                observed.table, simulator: nil,
                memory: VMMemory(embedding: name, NamedMappings()),
                account: registry.withLock { $0.account(of: peer.user) }, audience: audience,
                observed: observed)
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        try register(vm, peer)
        return observed
    }

    /// Sends subscribers a notification of this process's own.
    ///
    /// It goes behind what they were told before.
    ///
    /// - Parameters:
    ///   - line: the notification, without its line's end; its method must be none of the
    ///     service's.
    ///   - name: to those who follow this VM; `nil` for everyone who follows anything of the user,
    ///     or followed a VM of ``observe(vm:of:)`` until it ended.
    ///   - user: whose VMs; this process's own user by default.
    public func announce(_ line: [UInt8], of name: String?, user: UInt32? = nil) {
        let peer = Peer(user: user ?? getuid())
        guard let name else {
            for queue in registry.withLock({ $0.audience(of: peer) }) { queue.put(line) }
            return
        }
        registry.withLock { $0.vm(name, of: peer) }?.feed.announce(line)
    }
}

extension VirtualMachine {
    /// Refuses a change of a VM that another process has: nothing here could carry it out.
    func refuseIfObserved() throws(ProtocolError) {
        guard observed == nil else {
            throw ProtocolError(
                .wrongBackend, "\"\(name)\" is another process's VM, which alone changes it")
        }
    }
}
