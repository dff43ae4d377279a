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
        let vm: VirtualMachine
        do throws(ReentryError) {
            vm = try VirtualMachine(
                table, simulator: made.simulator, guestMemfds: made.guestMemfds, memory: memory,
                account: registry.withLock { $0.account(of: peer.user) }, audience: audience,
                ephemeralConnection: connection)
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        try register(vm, peer)
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
            guard registry.vm(vm.name, of: peer) == nil else {
                throw ProtocolError(.vmExists, "there is a VM \"\(vm.name)\" already")
            }
            guard registry.count(of: peer) < limits.vmsPerPeer else {
                throw .limit(
                    "vmsPerPeer",
                    "a peer has at most \(limits.vmsPerPeer) VMs; destroy one first")
            }
            registry.add(vm)
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
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }

    func destroyVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        guard !vm.memory.isEmbedded else {
            throw ProtocolError(
                .notPermitted,
                "\"\(vm.name)\" is the VM of the process that serves it; "
                    + "it ends with that process")
        }
        // A transaction that runs ends and is answered; those that wait find no VM any more.
        guard registry.withLock({ $0.remove(vm) }) else { throw .gone(vm.name) }
        writer.beginObject()
        writer.key("vm")
        writer.string(vm.name)
        writer.endObject()
    }

    func recoverVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
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
