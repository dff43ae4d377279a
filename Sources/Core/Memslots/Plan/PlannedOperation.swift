/// One slot call of a plan, and why it is there where that is not plain from the difference.
public struct PlannedOperation: Hashable, Sendable {
    /// Why a call is made that the change alone does not ask for.
    public enum Reason: String, CaseIterable, Hashable, Sendable {
        /// The slot is deleted and created to let others move that wait for each other.
        case cycle
        /// The slot changes in a way that KVM can't do in place.
        case replaced
    }

    /// The call.
    public var call: SlotCall
    /// Why, where the change alone does not tell.
    public var reason: Reason?

    /// Plans `call`.
    public init(_ call: SlotCall, because reason: Reason? = nil) {
        self.call = call
        self.reason = reason
    }
}
