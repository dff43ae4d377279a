public import Memslots

/// One operation of a receipt.
public struct OperationMessage: Hashable, Sendable {
    /// The call.
    public var call: SlotCall
    /// Why it is there, where the diff alone doesn't say.
    public var because: OperationReason?

    /// Holds both.
    public init(_ call: SlotCall, because: OperationReason? = nil) {
        self.call = call
        self.because = because
    }
}

/// Why an operation is there, where the diff alone doesn't say.
public enum OperationReason: String, CaseIterable, Sendable {
    /// The slot is put where it is in the way of none, or brought back from there.
    case parked
    /// The slot is deleted or created to break a cycle of moves.
    case cycle
    /// The slot is deleted or created because KVM can't change it in place.
    case replaced
}

extension JSONWriter {
    /// Writes one operation.
    public mutating func operation(_ operation: OperationMessage) {
        let call = operation.call
        beginObject()
        key("op")
        switch call {
        case .create: staticString("create")
        case .delete: staticString("delete")
        case .move: staticString("move")
        case .reflag: staticString("reflag")
        }
        members(of: call.key)
        key("guestPhysicalAddress")
        address((call.after ?? call.before)?.guestPhysicalAddress.rawValue ?? 0)
        if case .move(let from, _) = call {
            key("from")
            address(from.guestPhysicalAddress.rawValue)
        }
        if let after = call.after {
            key("flags")
            flags(after.flags)
        }
        if let because = operation.because {
            key("because")
            string(because.rawValue)
        }
        endObject()
    }
}
