import Memslots

extension JSONWriter {
    /// Writes a receipt.
    public mutating func receipt(_ message: ReceiptMessage) {
        let receipt = message.receipt
        beginObject()
        key("vm")
        string(message.vm)
        key("generation")
        integer(receipt.generation.rawValue)
        if let previous = message.previousGeneration {
            key("previousGeneration")
            integer(previous.rawValue)
        }
        key("outcome")
        string(receipt.outcome.rawValue)
        diff(receipt.diff)
        if let changed = message.changed {
            key("changed")
            slots(changed)
        }
        if let slots = message.slots {
            key("slots")
            self.slots(slots)
        }
        key("operations")
        beginArray()
        for operation in receipt.operations { self.operation(operation) }
        endArray()
        key("operationCount")
        integer(receipt.operations.count)
        key("optimal")
        bool(receipt.isOptimal)
        if !receipt.unmappedDirtyPages.isEmpty { dirty(receipt.unmappedDirtyPages) }
        key("quiesced")
        bool(receipt.quiesced)
        key("retired")
        bool(receipt.retired)
        if !receipt.retired {
            key("readers")
            strings(receipt.readers)
        }
        key("warnings")
        strings(receipt.warnings)
        times(receipt.nanoseconds)
        endObject()
    }

    /// Writes an array of slots.
    public mutating func slots(_ slots: [SlotMessage]) {
        beginArray()
        for message in slots {
            slot(message.slot, backing: message.backing, guestMemfd: message.guestMemfd)
        }
        endArray()
    }

    private mutating func diff(_ diff: MemslotDiff) {
        key("diff")
        beginObject()
        key("added")
        slotKeys(diff.added.map(\.key))
        key("removed")
        slotKeys(diff.removed.map(\.key))
        key("moved")
        slotKeys(diff.moved.map(\.after.key))
        key("reflagged")
        slotKeys(diff.reflagged.map(\.after.key))
        endObject()
    }

    private mutating func dirty(_ slots: [DirtyPages]) {
        key("dirty")
        beginArray()
        for slot in slots {
            beginObject()
            members(of: slot.slot.key)
            key("ranges")
            beginArray()
            for range in slot.runs {
                beginArray()
                integer(range.lowerBound)
                integer(range.upperBound - range.lowerBound)
                endArray()
            }
            endArray()
            endObject()
        }
        endArray()
    }

    private mutating func times(_ times: Receipt.Nanoseconds) {
        key("nanoseconds")
        beginObject()
        key("prepare")
        integer(times.prepare)
        key("quiesce")
        integer(times.quiesce)
        key("harvest")
        integer(times.harvest)
        key("apply")
        integer(times.apply)
        key("blackout")
        integer(times.blackout)
        key("total")
        integer(times.total)
        endObject()
    }
}
