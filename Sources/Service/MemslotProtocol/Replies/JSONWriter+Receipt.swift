package import Memslots

extension JSONWriter {
    package mutating func receipt(_ message: ReceiptMessage) {
        let receipt = message.receipt
        beginObject()
        member("vm", message.vm)
        member("generation", receipt.generation.rawValue)
        member("previousGeneration", message.previousGeneration?.rawValue)
        member("outcome", receipt.outcome.rawValue)
        diff(receipt.diff)
        member("changed", message.changed)
        member("slots", message.slots)
        list("operations", receipt.operations) { $0.operation($1) }
        member("operationCount", receipt.operations.count)
        member(attributes: receipt.attributes.map { ($0.range, $0.isPrivate) })
        member("optimal", receipt.isOptimal)
        if !receipt.unmappedDirtyPages.isEmpty {
            list("dirty", receipt.unmappedDirtyPages) { $0.dirtyPages($1) }
        }
        member("kernelMemory", receipt.kernelMemory)
        member("quiesced", receipt.quiesced)
        member("because", receipt.holdReason?.rawValue)
        member("retired", receipt.retired)
        if !receipt.retired { list("readers", receipt.readers) { $0.string($1) } }
        if !receipt.observers.isEmpty { list("observers", receipt.observers) { $0.observer($1) } }
        list("warnings", receipt.warnings) { $0.string($1) }
        times(receipt.durations.nanoseconds)
        endObject()
    }

    package mutating func observer(_ report: ObserverReport) {
        object {
            $0.member("observer", report.observer)
            $0.member("state", report.state)
            $0.member("reason", report.reason)
            $0.member("regions", report.regionCount)
            $0.object("messages") {
                for (name, count) in report.messages.sorted(by: { $0.key < $1.key }) {
                    $0.key(named: name)
                    $0.integer(UInt64(count))
                }
            }
        }
    }

    package mutating func operation(_ operation: PlannedOperation) {
        let call = operation.call
        beginObject()
        member("op", call.name)
        members(of: call.key)
        let slot = call.after ?? call.before
        member("guestPhysicalAddress", address: slot?.guestPhysicalAddress.rawValue ?? 0)
        if case .move(let from, _) = call {
            member("from", address: from.guestPhysicalAddress.rawValue)
        }
        if let after = call.after { member(flags: after.flags) }
        member("because", operation.reason?.rawValue)
        endObject()
    }

    private mutating func diff(_ diff: MemslotDiff) {
        object("diff") {
            $0.slotKeys("added", diff.added.lazy.map(\.assignedKey))
            $0.slotKeys("removed", diff.removed.lazy.map(\.assignedKey))
            $0.slotKeys("moved", diff.moved.lazy.map(\.after.assignedKey))
            $0.slotKeys("reflagged", diff.reflagged.lazy.map(\.after.assignedKey))
        }
    }

    private mutating func dirtyPages(_ pages: DirtyPages) {
        object {
            $0.members(of: pages.slot.assignedKey)
            $0.list("ranges", pages.runs) { writer, range in
                writer.beginArray()
                writer.integer(range.lowerBound)
                writer.integer(range.upperBound - range.lowerBound)
                writer.endArray()
            }
        }
    }

    private mutating func times(_ times: Receipt.Durations.Nanoseconds) {
        object("nanoseconds") {
            $0.member("prepare", times.prepare)
            $0.member("quiesce", times.quiesce)
            $0.member("harvest", times.harvest)
            $0.member("apply", times.apply)
            $0.member("blackout", times.blackout)
            $0.member("total", times.total)
        }
    }

    package mutating func member(_ name: StaticString, _ slots: NamedSlots?) {
        guard let slots else { return }
        key(name)
        beginArray()
        for index in 0..<slots.count { slot(slots[index]) }
        endArray()
    }

    /// Writes a slot with exactly the members that a request gives it.
    package mutating func slot(_ message: SlotMessage) {
        let slot = message.slot
        beginObject()
        members(of: slot.assignedKey)
        member("guestPhysicalAddress", address: slot.guestPhysicalAddress.rawValue)
        member("size", address: slot.size.rawValue)
        members(of: message.backing)
        member(flags: slot.flags)
        if let guestMemfd = message.guestMemfd {
            member("guestMemfd", guestMemfd)
            member("guestMemfdOffset", address: slot.guestMemfd?.offset.rawValue ?? 0)
        }
        endObject()
    }

    /// Writes the members that a backing has, of an open object.
    package mutating func members(of backing: SlotBacking) {
        switch backing {
        case .userspaceAddress(let address): member("userspaceAddress", address: address.rawValue)
        case .memory(let name, let offset):
            member("memory", name)
            member("memoryOffset", address: offset.rawValue)
        case .opaque(let token): member("opaque", token)
        }
    }

    /// Writes the members `slot` and, where it is not 0, `addressSpace`, of an open object.
    package mutating func members(of slot: SlotKey) {
        member("slot", UInt64(slot.id.rawValue))
        if slot.addressSpace != .main { member("addressSpace", UInt64(slot.addressSpace.rawValue)) }
    }

    /// Writes a list of private ranges, or of changes of them; an empty one only if `evenIfEmpty`.
    package mutating func member(
        attributes: [(range: GuestRange, isPrivate: Bool?)], evenIfEmpty: Bool = false
    ) {
        if attributes.isEmpty && !evenIfEmpty { return }
        list("attributes", attributes) { writer, item in
            writer.object {
                $0.member("guestPhysicalAddress", address: item.range.address.rawValue)
                $0.member("size", address: item.range.size.rawValue)
                if let isPrivate = item.isPrivate { $0.member("private", isPrivate) }
            }
        }
    }

    /// Writes the member `flags`, a list in the kernel's order.
    package mutating func member(flags: MemslotFlags) {
        key("flags")
        beginArray()
        if flags.contains(.logDirtyPages) { staticString("log-dirty-pages") }
        if flags.contains(.readOnly) { staticString("readonly") }
        if flags.contains(.guestMemfd) { staticString("guest-memfd") }
        endArray()
    }

    /// Writes a list of slot ids; of another address space than 0, `{"addressSpace":1,"slot":0}`.
    package mutating func slotKeys(_ name: StaticString, _ slots: some Sequence<SlotKey>) {
        list(name, slots) { writer, slot in
            if slot.addressSpace == .main { return writer.integer(UInt64(slot.id.rawValue)) }
            writer.object {
                $0.member("addressSpace", UInt64(slot.addressSpace.rawValue))
                $0.member("slot", UInt64(slot.id.rawValue))
            }
        }
    }

    /// Writes the bytes of a page, if they are not 4096.
    package mutating func member(pageSize: ByteCount) {
        if pageSize != .page { member("pageSize", address: pageSize.rawValue) }
    }

    package mutating func capabilities(_ capabilities: Capabilities) {
        object {
            $0.member("maxSlots", UInt64(capabilities.maxSlots))
            $0.member("addressSpaces", UInt64(capabilities.addressSpaces))
            $0.member("guestPhysicalBits", capabilities.guestPhysicalBits)
            $0.member("userspaceEnd", address: capabilities.userspaceEnd.rawValue)
            $0.member("maxPagesPerSlot", capabilities.maxPagesPerSlot)
            $0.member(pageSize: capabilities.pageSize)
            if capabilities.slotGranule != capabilities.pageSize {
                $0.member("slotGranule", address: capabilities.slotGranule.rawValue)
            }
            $0.member(flags: capabilities.flags)
            if capabilities.sharesGuestMemfd { $0.member("sharedGuestMemfd", true) }
            if capabilities.memoryAttributes { $0.member("memoryAttributes", true) }
        }
    }
}
