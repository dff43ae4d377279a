internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func createVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let parameters = try VMCreateParameters(request.params)
        let made = try backends.make(parameters.backend, simulated: parameters.simulated)
        let table: MemslotTable
        do throws(InvalidArray) {
            table = try MemslotTable(
                backend: made.backend,
                limits: TableLimits(violations: limits.violations, receipts: limits.receipts))
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        let memory = VMMemory(
            vm: parameters.vm,
            hasRawAddresses: made.simulator != nil || takesRawAddresses)
        let connection = parameters.isEphemeral ? peer.connection : nil
        let kept =
            parameters.isEphemeral
            ? nil
            : state.map { KeptVM($0, number: $0.nextNumber(), simulated: parameters.simulated) }
        let vm: VirtualMachine
        do throws(ReentryError) {
            vm = try VirtualMachine(
                table, simulator: made.simulator, guestMemfds: made.guestMemfds, memory: memory,
                account: registry.withLock { $0.account(of: peer.user) }, audience: audience,
                ephemeralConnection: connection, kept: kept)
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        try admit(vm, peer)
        writer.beginObject()
        writer.key("vm")
        writer.string(vm.name)
        writer.key("backend")
        writer.string(vm.backendName)
        writer.key("generation")
        writer.integer(0)
        writer.key("capabilities")
        writer.capabilities(table.capabilities)
        writer.endObject()
    }

    /// Puts a VM in under its name.
    func register(_ vm: VirtualMachine, _ peer: Peer) throws(ProtocolError) {
        try registry.withLock { registry throws(ProtocolError) in
            try check(vm.name, peer, registry)
            registry.add(vm)
        }
    }

    /// Looks whether a VM could be put in under `name`.
    func checkRoom(for name: String, _ peer: Peer) throws(ProtocolError) {
        try registry.withLock { registry throws(ProtocolError) in
            try check(name, peer, registry)
        }
    }

    private func check(
        _ name: String, _ peer: Peer, _ registry: VMRegistry
    ) throws(ProtocolError) {
        guard registry.vm(name, of: peer) == nil else {
            throw ProtocolError(.vmExists, "there is a VM \"\(name)\" already")
        }
        guard registry.count(of: peer) < limits.vmsPerPeer else {
            throw .limit(
                "vmsPerPeer", "a peer has at most \(limits.vmsPerPeer) VMs; destroy one first")
        }
    }

    func listVMs(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        _ = try NoParameters(request.params)
        writer.beginObject()
        writer.key("vms")
        writer.beginArray()
        for vm in registry.withLock({ $0.all(of: peer) }) {
            // As last told, so that one VM's transaction doesn't keep the list waiting.
            let table = vm.feed.published.table
            writer.beginObject()
            writer.key("vm")
            writer.string(vm.name)
            writer.key("backend")
            writer.string(vm.backendName)
            writer.key("generation")
            writer.integer(table.generation.rawValue)
            writer.key("slots")
            writer.integer(table.slots.count)
            writer.key("state")
            writer.string(table.failure == nil ? "ready" : "failed")
            writer.observed(vm)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }

    func destroyVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        if let name = request.vmName, try destroyUnrestored(name, peer) {
            return writer.destroyed(name)
        }
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        guard !vm.memory.isEmbedded else {
            throw ProtocolError(
                .notPermitted,
                "\"\(vm.name)\" is the VM of the process that serves it; "
                    + "it ends with that process")
        }
        // A transaction that runs ends and is answered; those that wait find no VM any more.
        let wasIn =
            if let kept = vm.kept { try forget(vm, kept) } else {
                registry.withLock { $0.remove(vm) }
            }
        guard wasIn else { throw .gone(vm.name) }
        writer.destroyed(vm.name)
    }

    func recoverVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        try vm.refuseIfObserved()
        do throws(SubmitError) {
            try vm.table.recover()
        } catch {
            throw ProtocolError(error, slots: [])
        }
        writer.beginObject()
        writer.key("vm")
        writer.string(vm.name)
        writer.key("generation")
        writer.integer(vm.feed.published.table.generation.rawValue)
        writer.key("state")
        writer.string("ready")
        writer.endObject()
    }
}

extension JSONWriter {
    /// Says of another process's VM that it is one.
    fileprivate mutating func observed(_ vm: VirtualMachine) {
        guard vm.observed != nil else { return }
        key("observed")
        bool(true)
    }

    fileprivate mutating func destroyed(_ vm: String) {
        beginObject()
        key("vm")
        string(vm)
        endObject()
    }
}
