internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

extension MemslotService {
    func injectFault(_ parameters: FaultParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer)
        let simulator = try simulator(of: vm, for: .faultInject)
        switch parameters.fault {
        case .clear: simulator.clearFaults()
        case .arm(let operation, let errno, let times):
            guard simulator.armedFaults.count < limits.armedFaults else {
                throw .limit(
                    "armedFaults",
                    "a VM has at most \(limits.armedFaults) faults armed; clear them")
            }
            // Accepted, because it always was: a fault that never fires.
            guard times > 0 else { break }
            simulator.inject(
                FaultInjection(
                    operation: Int(clamping: operation), errno: errno, times: Int(clamping: times)))
        }
        return .vm(vm.name)
    }

    func touch(_ parameters: TouchParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer, refusingFailed: true)
        let simulator = try simulator(of: vm, for: .guestTouch)
        let space = AddressSpaceID(UInt32(clamping: parameters.addressSpace))
        try vm.chargeTouch(of: parameters.size.pages(of: simulator.capabilities.pageSize) + 1)
        try converting(
            { (error: TouchError) in ProtocolError(error, in: parameters.addressSpace) },
            simulator.touch(parameters.guestPhysicalAddress, size: parameters.size, in: space))
        return .vm(vm.name)
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
