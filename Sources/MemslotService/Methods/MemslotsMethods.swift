internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension MemslotService {
    func submit(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        try withWanted(request, peer, into: &writer) {
            table, slots, options, faults throws(SubmitError) in
            try table.submit(slots, options: options, prior: faults)
        }
    }

    func plan(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        try withWanted(request, peer, into: &writer) {
            table, slots, options, faults throws(SubmitError) in
            try table.plan(slots, options: options, prior: faults)
        }
    }

    private func withWanted(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter,
        _ body: (MemslotTable, [Memslot], SubmitOptions, [Violation]) throws(SubmitError) -> Receipt
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(
            request, peer, refusingFailed: true, as: SubmitParameters.init)
        // Held until the array is in place, so that no memory object goes while a slot is to use it.
        try vm.changes.withLock { _ throws(ProtocolError) in
            let memories = vm.memories.withLock { $0 }
            let resolved = try SlotResolver(
                parameters.slots, memories: memories,
                takesRawAddresses: takesRawAddresses || vm.simulator != nil)
            do throws(SubmitError) {
                let receipt = try body(
                    vm.table, resolved.slots, SubmitOptions(parameters), resolved.faults)
                writer.receipt(vm.message(of: receipt, memories))
            } catch {
                throw ProtocolError(error, slots: parameters.slots)
            }
        }
    }

    func getSlots(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, _) = try read(request, peer, as: VMParameters.init)
        let snapshot = vm.table.snapshot()
        let installed = vm.table.failure?.installed
        writer.beginObject()
        writer.key("vm")
        writer.string(vm.name)
        writer.key("generation")
        writer.integer(snapshot.generation.rawValue)
        if installed != nil {
            writer.key("installed")
            writer.bool(true)
        }
        writer.key("slots")
        let memories = vm.memories.withLock { $0 }
        writer.slots(vm.messages(of: installed ?? snapshot.array.slots, memories))
        writer.endObject()
    }

    func translate(
        _ request: Request, _ peer: Peer, into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let (vm, parameters) = try read(request, peer, as: TranslateParameters.init)
        guard parameters.addresses.count <= limits.addresses else {
            throw ProtocolError(
                ErrorData(.limitExceeded, path: "addresses", limit: "addresses"),
                message: "at most \(limits.addresses) addresses are translated at once")
        }
        let space = AddressSpaceID(UInt32(clamping: parameters.addressSpace))
        let memories = vm.memories.withLock { $0 }
        let snapshot = vm.table.snapshot()
        writer.beginObject()
        writer.key("generation")
        writer.integer(snapshot.generation.rawValue)
        writer.key("translations")
        writer.beginArray()
        for address in parameters.addresses {
            guard let slot = snapshot.array.slot(at: address, in: space) else {
                writer.null()
                continue
            }
            let offset = ByteCount(address.rawValue - slot.guestPhysicalAddress.rawValue)
            writer.beginObject()
            writer.members(of: slot.key)
            writer.key("offset")
            writer.address(offset.rawValue)
            writer.members(of: vm.backing(of: slot, at: offset, memories))
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
        let memories = vm.memories.withLock { $0 }
        writer.beginObject()
        writer.key("receipts")
        writer.beginArray()
        let count = parameters.last.map { Int(clamping: $0) } ?? .max
        for receipt in vm.table.history(last: count) {
            writer.receipt(vm.message(of: receipt, memories))
        }
        writer.endArray()
        writer.endObject()
    }
}

extension SubmitOptions {
    fileprivate init(_ parameters: SubmitParameters) {
        self.init(
            expectedGeneration: parameters.expectedGeneration, quiesce: parameters.quiesce,
            quiesceDeadlineMilliseconds: parameters.quiesceDeadlineMilliseconds
                ?? SubmitOptions.defaultDeadlineMilliseconds)
    }
}
