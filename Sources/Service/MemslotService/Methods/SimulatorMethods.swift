internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

extension MemslotService {
    func injectFault(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: FaultParameters.init)
        let simulator = try simulator(of: vm, for: .faultInject)
        switch parameters.fault {
        case .clear: simulator.clearFaults()
        case .arm(let operation, let errno, let times):
            guard simulator.armedFaults.count < limits.armedFaults else {
                throw .limit(
                    "armedFaults",
                    "a VM has at most \(limits.armedFaults) faults armed; clear them")
            }
            simulator.inject(
                FaultInjection(
                    operation: Int(clamping: operation), errno: errno,
                    times: Int(clamping: times)))
        }
        writer.named(vm)
    }

    func touch(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(
            request, peer, refusingFailed: true, as: TouchParameters.init)
        let simulator = try simulator(of: vm, for: .guestTouch)
        let space = AddressSpaceID(UInt32(clamping: parameters.addressSpace))
        do throws(TouchError) {
            try simulator.touch(
                parameters.guestPhysicalAddress, size: parameters.size, in: space)
        } catch {
            throw ProtocolError(error, in: parameters.addressSpace)
        }
        writer.named(vm)
    }

    private func simulator(
        of vm: VirtualMachine, for method: Method
    ) throws(ProtocolError) -> SimulatedBackend {
        guard let simulator = vm.simulator else {
            throw ProtocolError(
                .wrongBackend, "\(method.rawValue) is for simulated VMs; \"\(vm.name)\" is KVM's")
        }
        return simulator
    }
}

extension ProtocolError {
    fileprivate init(_ error: TouchError, in space: UInt64) {
        switch error {
        case .unmapped(let address):
            self.init(
                ErrorData(.unmapped, addressSpace: space),
                message: "there is no slot at \(address); nothing was marked")
        case .readOnly(let address, let key):
            self.init(
                ErrorData(.readOnly, slot: UInt64(key.id.rawValue), addressSpace: space),
                message: "slot \(key) at \(address) is read-only; nothing was marked")
        }
    }
}

extension JSONWriter {
    fileprivate mutating func named(_ vm: VirtualMachine) {
        beginObject()
        key("vm")
        string(vm.name)
        endObject()
    }
}
