package import Memslots

extension JSONWriter {
    /// Writes a receipt.
    package mutating func receipt(_ message: ReceiptMessage) {
        let receipt = message.receipt
        beginObject()
        member("vm", message.vm)
        member("generation", receipt.generation.rawValue)
        member("previousGeneration", message.previousGeneration?.rawValue)
        member("outcome", receipt.outcome.rawValue)
        diff(receipt.diff)
        if let changed = message.changed {
            key("changed")
            slots(changed)
        }
        if let slots = message.slots {
            key("slots")
            self.slots(slots)
        }
        list("operations", receipt.operations) { $0.operation($1) }
        member("operationCount", receipt.operations.count)
        member("optimal", receipt.isOptimal)
        if !receipt.unmappedDirtyPages.isEmpty {
            list("dirty", receipt.unmappedDirtyPages) { $0.dirtyPages($1) }
        }
        member("quiesced", receipt.quiesced)
        member("retired", receipt.retired)
        if !receipt.retired { list("readers", receipt.readers) { $0.string($1) } }
        list("warnings", receipt.warnings) { $0.string($1) }
        times(receipt.nanoseconds)
        endObject()
    }

    /// Writes one operation.
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
        if let after = call.after {
            key("flags")
            flags(after.flags)
        }
        member("because", operation.reason?.rawValue)
        endObject()
    }

    private mutating func diff(_ diff: MemslotDiff) {
        key("diff")
        beginObject()
        key("added")
        slotKeys(diff.added.lazy.map(\.key))
        key("removed")
        slotKeys(diff.removed.lazy.map(\.key))
        key("moved")
        slotKeys(diff.moved.lazy.map(\.after.key))
        key("reflagged")
        slotKeys(diff.reflagged.lazy.map(\.after.key))
        endObject()
    }

    private mutating func dirtyPages(_ pages: DirtyPages) {
        object {
            $0.members(of: pages.slot.key)
            $0.list("ranges", pages.runs) { writer, range in
                writer.beginArray()
                writer.integer(range.lowerBound)
                writer.integer(range.upperBound - range.lowerBound)
                writer.endArray()
            }
        }
    }

    private mutating func times(_ times: Receipt.Nanoseconds) {
        key("nanoseconds")
        object {
            $0.member("prepare", times.prepare)
            $0.member("quiesce", times.quiesce)
            $0.member("harvest", times.harvest)
            $0.member("apply", times.apply)
            $0.member("blackout", times.blackout)
            $0.member("total", times.total)
        }
    }
}
