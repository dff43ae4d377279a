internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func createVM(_ parameters: VMCreateParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        try Self.validate(name: parameters.vm, path: "vm")
        let kept =
            parameters.isEphemeral
            ? nil
            : state.map { StoredVM($0, number: $0.nextNumber(), simulated: parameters.simulated) }
        return try withRoom(for: parameters.vm, of: peer) { () throws(ProtocolError) in
            let vm = try VirtualMachine(
                parameters, of: peer.user, in: self,
                ephemeralConnection: parameters.isEphemeral ? peer.connection : nil, kept: kept)
            try add(vm, peer)
            return .created(
                vm: vm.name, backend: vm.backendName, capabilities: vm.table.capabilities)
        }
    }

    /// Checks a name that a client gives to something new.
    static func validate(name: String, path: String) throws(ProtocolError) {
        guard let fault = nameFault(name) else { return }
        throw ProtocolError(ErrorData(.invalidParams, path: path), message: "\"\(name)\": \(fault)")
    }

    /// Charges a VM before it exists, and runs `create`, which creates and registers it.
    func withRoom<R>(
        for name: String, of peer: Peer, _ create: () throws(ProtocolError) -> R
    ) throws(ProtocolError) -> R {
        try requireFree(name, of: peer) { _ throws(ProtocolError) in
            try budgets.vms.charge(1, to: peer.user)
        }
        do throws(ProtocolError) { return try create() } catch {
            budgets.vms.release(1, of: peer.user)
            throw error
        }
    }

    /// Registers a VM that is charged.
    func register(_ vm: VirtualMachine, _ peer: Peer) throws(ProtocolError) {
        try requireFree(vm.name, of: peer) { $0.add(vm) }
    }

    /// Checks that no VM has this name, and runs `body` with the registry.
    func requireFree(
        _ name: String, of peer: Peer,
        _ body: (inout VMRegistry) throws(ProtocolError) -> Void = { _ in }
    ) throws(ProtocolError) {
        try registry.withLock { registry throws(ProtocolError) in
            guard registry.vm(name, of: peer) == nil else {
                throw ProtocolError(.vmExists, "there is a VM \"\(name)\" already")
            }
            try body(&registry)
        }
    }

    func listVMs(_ peer: Peer) -> Reply {
        let vms = registry.withLock { $0.all(of: peer) }.map { vm in
            // As last published, so that one VM's transaction does not delay the list.
            let table = vm.feed.published.table
            return ListedVM(
                vm: vm.name, backend: vm.backendName, generation: table.generation,
                slotCount: table.slots.count, isFailed: table.failure != nil,
                isObserved: vm.observed != nil)
        }
        return .vms(vms)
    }

    func destroyVM(_ name: String, _ peer: Peer) throws(ProtocolError) -> Reply {
        if try destroyUnrestored(name, peer) { return .vm(name) }
        let vm = try vm(name, of: peer)
        guard !vm.memory.isEmbedded else {
            throw ProtocolError(
                .notPermitted,
                "\"\(vm.name)\" is the VM of the process that serves it; "
                    + "it ends with that process")
        }
        // A transaction that runs is completed; those that wait find no VM any more.
        let wasRegistered =
            if let kept = vm.kept { try forget(vm, kept) } else {
                registry.withLock { $0.remove(vm) }
            }
        guard wasRegistered else { throw .gone(vm.name) }
        return .vm(vm.name)
    }

    func recoverVM(_ name: String, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        try vm.refuseIfObserved()
        try converting(
            { (error: SubmitError) in ProtocolError(error, slots: []) }, vm.table.recover())
        return .recovered(vm: vm.name, generation: vm.feed.published.table.generation)
    }
}
