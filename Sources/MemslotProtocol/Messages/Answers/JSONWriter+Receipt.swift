import Memslots

extension JSONWriter {
    /// Writes a receipt.
    public mutating func receipt(_ receipt: ReceiptMessage) {
        beginObject()
        key("vm")
        string(receipt.vm)
        key("generation")
        integer(receipt.generation.rawValue)
        if let previous = receipt.previousGeneration {
            key("previousGeneration")
            integer(previous.rawValue)
        }
        key("outcome")
        string(receipt.outcome.rawValue)
        diff(of: receipt)
        if let changed = receipt.changed {
            key("changed")
            slots(changed)
        }
        if let slots = receipt.slots {
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
        if !receipt.dirty.isEmpty { dirty(receipt.dirty) }
        key("quiesced")
        bool(receipt.wasQuiesced)
        key("retired")
        bool(receipt.isRetired)
        if !receipt.isRetired {
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

    private mutating func diff(of receipt: ReceiptMessage) {
        key("diff")
        beginObject()
        key("added")
        slotKeys(receipt.added)
        key("removed")
        slotKeys(receipt.removed)
        key("moved")
        slotKeys(receipt.moved)
        key("reflagged")
        slotKeys(receipt.reflagged)
        endObject()
    }

    private mutating func dirty(_ slots: [DirtyPagesMessage]) {
        key("dirty")
        beginArray()
        for slot in slots {
            beginObject()
            members(of: slot.slot)
            key("ranges")
            beginArray()
            for range in slot.ranges {
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

    private mutating func times(_ times: ReceiptTimes) {
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
