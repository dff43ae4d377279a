internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func submit(_ parameters: SubmitParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer, refusingFailed: true)
        try vm.refuseIfObserved()
        try checkLimits(of: parameters, vm)
        // Held until the array is installed, so that no memory object goes that a new slot uses.
        let (receipt, names) = try vm.changes.withLock { _ throws(ProtocolError) in
            guard vm.feed.isOpen else { throw .gone(vm.name) }
            try vm.feed.reserveSlots(for: parameters)
            defer { vm.feed.releaseReserve() }
            do throws(ProtocolError) {
                guard let kept = vm.kept else { return try vm.submit(parameters) }
                return try vm.submit(parameters, keeping: kept)
            } catch {
                vm.countRefusal(error)
                throw error
            }
        }
        if receipt.outcome == .unchanged { vm.add(.unchanged) }
        return vm.reply(receipt, names)
    }

    func plan(_ parameters: SubmitParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer, refusingFailed: true)
        try checkLimits(of: parameters, vm)
        let (receipt, names) = try vm.plan(parameters)
        let reply = vm.reply(receipt, names)
        try checkReply(reply.byteBound)
        return reply
    }

    private func checkLimits(
        of parameters: SubmitParameters, _ vm: VirtualMachine
    ) throws(ProtocolError) {
        let deadline = parameters.quiesceDeadline ?? .zero
        guard deadline <= .milliseconds(limits.quiesceDeadlineMs) else {
            throw .limit(
                "quiesceDeadlineMs", path: "quiesceDeadlineMs",
                "quiesceDeadlineMs is more than \(limits.quiesceDeadlineMs)")
        }
        let ranges = parameters.attributes ?? []
        guard ranges.count <= limits.attributes else {
            throw .limit(
                "attributes", path: "attributes",
                "at most \(limits.attributes) ranges are private at once")
        }
        let more = vm.feed.published.table.count(addedBy: parameters)
        if more > 0 { try budgets.slots.check(more, of: vm.account.user) }
    }

    func getSlots(
        of name: String, at generation: Generation?, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        let (table, names) = vm.feed.published
        guard let generation else { return .array(ArrayMessage(table, names)) }
        let history = vm.table.history()
        let kept = KeptArrays(
            table.array, table.generation, privateRanges: table.privateRanges, history: history)
        guard let slots = kept.slots(at: generation) else {
            throw ProtocolError(
                ErrorData(
                    .unknownGeneration, path: "generation", generation: table.generation,
                    oldestGeneration: kept.oldest),
                message: "the array of generation \(generation) of \"\(name)\" is not kept: "
                    + "the history has those of generations \(kept.oldest) to \(table.generation)")
        }
        var message = ArrayMessage(
            vm: names.vm, generation: generation, isInstalled: false,
            slots: names.messages(of: slots), attributes: kept.privateRanges(at: generation))
        message.hasAttributes =
            !table.privateRanges.ranges.isEmpty || history.contains { !$0.attributes.isEmpty }
        return .array(message)
    }

    func translate(_ parameters: TranslateParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer)
        guard parameters.addresses.count <= limits.addresses else {
            throw .limit(
                "addresses", path: "addresses",
                "at most \(limits.addresses) addresses are translated at once")
        }
        let space = AddressSpaceID(UInt32(clamping: parameters.addressSpace))
        let (table, names) = vm.feed.published
        func place(of address: GuestPhysicalAddress, in slot: Memslot?) -> TranslatedAddress? {
            guard let slot else { return nil }
            let offset = ByteCount(address.rawValue - slot.guestPhysicalAddress.rawValue)
            return TranslatedAddress(
                slot: slot.assignedKey, offset: offset,
                backing: names.backing(of: slot, at: offset), flags: slot.flags)
        }
        var translated: [Translated] = []
        // A few ranges may have more pieces than memory has room for.
        var bytes = 0
        for element in parameters.addresses {
            switch element {
            case .address(let address):
                let slot = table.array.slot(at: address, in: space)
                translated.append(.address(place(of: address, in: slot)))
            case .range(let range):
                var pieces: [(place: TranslatedAddress?, size: ByteCount)] = []
                table.array.forEachPiece(of: range, in: space) { slot, piece in
                    pieces.append((place(of: piece.address, in: slot), piece.size))
                    bytes += pieces[pieces.count - 1].place.pieceByteBound
                    return bytes <= limits.replyBytes
                }
                try checkReply(bytes)
                translated.append(.range(pieces))
            }
        }
        return .translations(generation: table.generation, translated)
    }

    func getHistory(_ parameters: HistoryParameters, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer)
        let (names, before) = (vm.memory.names, parameters.before ?? .max)
        let kept = vm.history(last: .max).filter { $0.generation.rawValue < before }
        var messages: [ReceiptMessage] = []
        var bytes = Reply.history([], next: nil).byteBound
        for receipt in kept.suffix(parameters.last.map { Int(clamping: $0) } ?? .max).reversed() {
            let message = names.message(of: receipt)
            bytes += message.byteBound
            if bytes > limits.replyBytes {
                // The newest alone: the rest may follow in parts, but it can't.
                if messages.isEmpty { try checkReply(bytes) }
                break
            }
            messages.append(message)
        }
        let hasOlder = messages.count < kept.count
        return .history(
            messages.reversed(), next: hasOlder ? messages.last?.receipt.generation : nil)
    }
}

extension ArrayMessage {
    /// The published array of a VM.
    init(_ table: EventFeed.Published, _ names: SlotNames) {
        self.init(
            vm: names.vm, generation: table.generation, isInstalled: table.failure != nil,
            slots: names.messages(of: table.slots), attributes: table.installedRanges.ranges)
    }
}

extension VirtualMachine {
    /// The reply to a submit or a plan: its warnings are the findings about the new array.
    ///
    /// Events and the history have the core's, about the slots that changed: with all findings each,
    /// they would leave less room for receipts.
    fileprivate func reply(_ receipt: Receipt, _ names: SlotNames) -> Reply {
        var message = names.message(of: receipt)
        if receipt.outcome == .committed {
            message.receipt.warnings = ArrayFindings(
                receipt.slots, maxSlots: table.capabilities.maxSlots,
                addresses: memory.hasRawAddresses ? .real : .hidden
            ).all.map(\.description)
        }
        return .receipt(message)
    }

    /// Counts for the VM and for its user.
    fileprivate func add(_ counter: Counter) {
        metrics.add(counter)
        account.metrics.add(counter)
    }

    /// Counts a submit that did not take effect. The table's observer counts the other outcomes.
    fileprivate func countRefusal(_ error: ProtocolError) {
        switch error.kind {
        case .generationConflict: add(.conflicts)
        case .prepareRejected: add(.rejected)
        case .quiesceTimeout: add(.timeouts)
        default: if error.code == ErrorKind.overlap.code { add(.invalid) }
        }
    }
}
