public import Memslots

extension JSONWriter {
    /// Writes one operation.
    public mutating func operation(_ operation: PlannedOperation) {
        let call = operation.call
        beginObject()
        key("op")
        string(call.name)
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
        if let reason = operation.reason {
            key("because")
            string(reason.rawValue)
        }
        endObject()
    }
}
