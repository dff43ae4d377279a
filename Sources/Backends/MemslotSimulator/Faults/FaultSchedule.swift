public import Memslots

/// The faults that are armed, and where the present transaction is.
///
/// A plain value, told of each transaction and asked at each slot call.
public struct FaultSchedule: Sendable {
    /// By operation; of two at the same one, the earlier armed stands first.
    private var armed: [Int: [FaultInjection]] = [:]
    private var nextOperation = 0

    /// A schedule without faults.
    public init() {}

    /// Arms `fault`, behind those already armed at the same operation.
    public mutating func arm(_ fault: FaultInjection) {
        guard fault.operation >= 0, fault.times > 0 else { return }
        armed[fault.operation, default: []].append(fault)
    }

    /// Disarms everything.
    public mutating func clear() { armed = [:] }

    /// The faults still armed with the times left to each, ascending by operation.
    public var armedFaults: [FaultInjection] {
        armed.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    /// Numbers the slot calls from 0 again.
    public mutating func beginTransaction() { nextOperation = 0 }

    /// Counts one slot call.
    ///
    /// - Throws: the errno of the fault that fires here. It is used up by one, no other is.
    public mutating func nextCall() throws(Errno) {
        defer { nextOperation += 1 }
        guard let fault = armed[nextOperation]?.first else { return }
        if fault.times > 1 {
            armed[nextOperation]?[0].times -= 1
        } else if armed[nextOperation]?.count == 1 {
            armed[nextOperation] = nil
        } else {
            armed[nextOperation]?.removeFirst()
        }
        throw fault.errno
    }
}
