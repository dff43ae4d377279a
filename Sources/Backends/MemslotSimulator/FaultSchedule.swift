public import Memslots

/// The armed faults, and the position in the present transaction.
struct FaultSchedule: Sendable {
    /// By operation. Of two faults at one operation, the one armed first comes first.
    private var armed: [Int: [FaultInjection]] = [:]
    private var nextOperation = 0

    /// Arms `fault`, after those already armed at the same operation.
    ///
    /// - Precondition: its operation is at least 0, its times are at least 1.
    mutating func arm(_ fault: FaultInjection) {
        precondition(
            fault.operation >= 0 && fault.times > 0,
            "a fault needs an operation of at least 0 and at least one time")
        armed[fault.operation, default: []].append(fault)
    }

    mutating func clear() { armed = [:] }

    /// The armed faults with the remaining times of each, ascending by operation.
    var armedFaults: [FaultInjection] { armed.sorted { $0.key < $1.key }.flatMap(\.value) }

    /// Starts to number calls from 0 again.
    mutating func beginTransaction() { nextOperation = 0 }

    /// Counts a call: of a slot, or of an attribute.
    ///
    /// - Throws: the errno of the fault that fires, which loses one of its times.
    mutating func nextCall() throws(Errno) {
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

/// A call of a transaction that shall fail: a slot call, or one that sets memory attributes.
public struct FaultInjection: Hashable, Sendable {
    /// The number of the call in its transaction, from 0. Calls of the undo are numbered on.
    public var operation: Int
    /// The errno that it returns. The call has no effect.
    public var errno: Errno
    /// In how many of the transactions that reach ``operation`` it fails.
    public var times: Int

    /// Creates a fault.
    ///
    /// - Parameters:
    ///   - operation: at least 0.
    ///   - errno: the errno to return.
    ///   - times: at least 1.
    public init(operation: Int, errno: Errno, times: Int = 1) {
        (self.operation, self.errno, self.times) = (operation, errno, times)
    }
}
