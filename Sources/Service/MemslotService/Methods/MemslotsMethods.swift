internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func submit(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(
            request, peer, refusingFailed: true, as: SubmitParameters.init)
        try vm.refuseIfObserved()
        try check(parameters, vm)
        // Held until the array is in place, so that no memory object goes while a slot is to use it.
        let (receipt, names) = try vm.changes.withLock { () throws(ProtocolError) in
            guard vm.feed.isOpen else { throw .gone(vm.name) }
            do throws(ProtocolError) {
                guard let kept = vm.kept else { return try vm.submit(parameters) }
                return try vm.submit(parameters, keeping: kept)
            } catch {
                vm.count(error)
                throw error
            }
        }
        if receipt.outcome == .unchanged { vm.count(.unchanged) }
        writer.receipt(names.message(of: receipt))
    }

    func plan(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(
            request, peer, refusingFailed: true, as: SubmitParameters.init)
        try check(parameters, vm)
        let (receipt, names) = try vm.plan(parameters)
        writer.receipt(names.message(of: receipt))
    }

    /// Holds an array against the limits of the service.
    private func check(
        _ parameters: SubmitParameters, _ vm: VirtualMachine
    ) throws(ProtocolError) {
        let deadline = parameters.quiesceDeadlineMilliseconds ?? 0
        guard deadline <= limits.quiesceDeadlineMs else {
            throw .limit(
                "quiesceDeadlineMs", path: "quiesceDeadlineMs",
                "quiesceDeadlineMs: \(deadline) is more than \(limits.quiesceDeadlineMs)")
        }
        let more = parameters.slots.count - vm.feed.published.table.array.count
        guard more <= 0 || vm.account.holdings.slots + more <= limits.slotsPerPeer else {
            throw .limit(
                "slotsPerPeer", path: "slots",
                "the VMs of a peer have at most \(limits.slotsPerPeer) slots together")
        }
    }

    func getSlots(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        let (table, names) = vm.feed.published
        writer.snapshot(table, names)
    }

    func translate(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: TranslateParameters.init)
        guard parameters.addresses.count <= limits.addresses else {
            throw .limit(
                "addresses", path: "addresses",
                "at most \(limits.addresses) addresses are translated at once")
        }
        let space = AddressSpaceID(UInt32(clamping: parameters.addressSpace))
        let (table, names) = vm.feed.published
        writer.beginObject()
        writer.key("generation")
        writer.integer(table.generation.rawValue)
        writer.key("translations")
        writer.beginArray()
        for address in parameters.addresses {
            guard let slot = table.array.slot(at: address, in: space) else {
                writer.null()
                continue
            }
            let offset = ByteCount(address.rawValue - slot.guestPhysicalAddress.rawValue)
            writer.beginObject()
            writer.members(of: slot.key)
            writer.key("offset")
            writer.address(offset.rawValue)
            writer.members(of: names.backing(of: slot, at: offset))
            writer.key("flags")
            writer.flags(slot.flags)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }

    func history(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: HistoryParameters.init)
        let count = parameters.last.map { Int(clamping: $0) } ?? .max
        let receipts = vm.history(last: count)
        let names = vm.memory.names
        writer.beginObject()
        writer.key("receipts")
        writer.beginArray()
        for receipt in receipts { writer.receipt(names.message(of: receipt)) }
        writer.endArray()
        writer.endObject()
    }
}

extension VirtualMachine {
    /// Counts for the VM and for its user.
    fileprivate func count(_ counter: Counter) {
        metrics.add(counter)
        account.metrics.add(counter)
    }

    /// Counts a submit that did not take effect. Those that an observer is told of are counted there.
    fileprivate func count(_ error: ProtocolError) {
        switch error.kind {
        case .generationConflict: count(.conflicts)
        case .prepareRejected: count(.rejected)
        case .quiesceTimeout: count(.timeouts)
        default: if error.code == ErrorKind.overlap.code { count(.invalid) }
        }
    }
}
