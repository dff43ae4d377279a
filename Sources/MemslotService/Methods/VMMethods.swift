internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots
internal import Synchronization

extension MemslotService {
    func createVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let parameters = try VMCreateParameters(request.params)
        guard parameters.backend != .kvm else {
            throw ProtocolError(
                ErrorData(.backendUnavailable, reason: Self.noKVM), message: Self.noKVM)
        }
        let backend = try simulator(parameters.simulated)
        let table: MemslotTable
        do throws(InvalidArray) {
            table = try MemslotTable(
                backend: backend,
                limits: TableLimits(violations: limits.violations, receipts: limits.receipts))
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        let vm = VirtualMachine(
            name: parameters.vm, table: table, simulator: backend,
            ephemeralConnection: parameters.isEphemeral ? peer.connection : nil)
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

    private func register(_ vm: VirtualMachine, _ peer: Peer) throws(ProtocolError) {
        try registry.withLock { registry throws(ProtocolError) in
            guard registry.vm(vm.name, of: peer) == nil else {
                throw ProtocolError(.vmExists, "there is a VM \"\(vm.name)\" already")
            }
            guard registry.all(of: peer).count < limits.vmsPerPeer else {
                throw ProtocolError(
                    ErrorData(.limitExceeded, limit: "vmsPerPeer"),
                    message: "a peer has at most \(limits.vmsPerPeer) VMs; destroy one first")
            }
            registry.add(vm, of: peer)
        }
    }

    private func simulator(
        _ parameters: SimulatedParameters
    ) throws(ProtocolError) -> SimulatedBackend {
        var configuration = SimulatorConfiguration()
        configuration.maxSlots = parameters.maxSlots
        configuration.addressSpaces = parameters.addressSpaces
        configuration.guestPhysicalBits = parameters.guestPhysicalBits
        configuration.userspaceEnd = parameters.userspaceEnd
        configuration.flags = parameters.flags
        do throws(SimulatorConfigurationError) {
            return try SimulatedBackend(configuration: configuration)
        } catch {
            let path = "simulated.\(error)"
            throw ProtocolError(
                ErrorData(.invalidParams, path: path),
                message: "\(path): not a value that a simulated VM can have")
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
            let snapshot = vm.table.snapshot()
            let failure = vm.table.failure
            writer.beginObject()
            writer.key("vm")
            writer.string(vm.name)
            writer.key("backend")
            writer.string(vm.backendName)
            writer.key("generation")
            writer.integer(snapshot.generation.rawValue)
            writer.key("slots")
            writer.integer(failure?.installed.count ?? snapshot.array.count)
            writer.key("state")
            writer.string(failure == nil ? "ready" : "failed")
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }

    func destroyVM(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        registry.withLock { $0.remove(vm, of: peer) }
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
        writer.integer(vm.table.snapshot().generation.rawValue)
        writer.key("state")
        writer.string("ready")
        writer.endObject()
    }
}
