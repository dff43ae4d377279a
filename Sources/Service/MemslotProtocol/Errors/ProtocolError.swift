public import Memslots

/// Why a request was refused.
public struct ProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A sentence that describes the fault and its place.
    public var message: String
    /// The kind, and the details of this kind.
    public var data: ErrorData
    /// Every fault of an invalid array in array order, beginning with ``data``; empty for other
    /// errors.
    public var violations: [ErrorData] = []
    /// How many faults there are; more than ``violations`` if those exceed the limit.
    public var violationCount = 0

    /// An error of one fault.
    public init(_ data: ErrorData, message: String) { (self.message, self.data) = (message, data) }

    /// An error without details.
    public init(_ kind: ErrorKind, _ message: String) {
        self.init(ErrorData(kind), message: message)
    }

    /// The error for the parameter at `path`, with which the message begins.
    package static func invalid(_ path: String, _ reason: String) -> ProtocolError {
        ProtocolError(ErrorData(.invalidParams, path: path), message: "\(path): \(reason)")
    }

    package static func limit(
        _ name: String, path: String? = nil, _ message: String
    ) -> ProtocolError {
        ProtocolError(ErrorData(.limitExceeded, path: path, limit: name), message: message)
    }

    /// The error of an invalid array; `nil` if there is no violation.
    ///
    /// - Parameters:
    ///   - violations: every fault in array order, up to the limit.
    ///   - count: how many faults there are.
    ///   - message: a sentence about the first.
    public init?(violations: [ErrorData], count: Int, message: String) {
        guard let first = violations.first else { return nil }
        (self.message, self.data) = (message, first)
        self.data.message = nil
        (self.violations, self.violationCount) = (violations, count)
    }

    /// The kind.
    public var kind: ErrorKind { data.kind }

    /// The code of the kind.
    public var code: Int { data.kind.code }

    /// The message.
    public var description: String { message }
}

/// The kind of an error or of one violation, and its details.
public struct ErrorData: Hashable, Sendable {
    /// The kind.
    public var kind: ErrorKind
    /// A sentence about this fault of an array; `nil` in the data of an error, which has its own.
    public var message: String?
    /// The slot's id, as in the request. Any number.
    public var slot: UInt64?
    /// The id of the other slot of a pair.
    public var otherSlot: UInt64?
    /// The address space, as in the request; omitted from the text where it is 0.
    public var addressSpace: UInt64?
    /// Where in `params`, such as `slots[3].size`.
    public var path: String?
    /// The errno that KVM returns, or returned.
    public var errno: Errno?
    /// The index of the operation that failed.
    public var operation: Int?
    /// The present generation.
    public var generation: Generation?
    /// The oldest generation whose array is kept.
    public var oldestGeneration: Generation?
    /// The reason of a hook or of the host.
    public var reason: String?
    /// The name of the limit.
    public var limit: String?
    /// The vCPUs that did not leave the guest.
    public var vcpus: [String]?
    /// The readers that did not leave the array.
    public var readers: [String]?

    /// The details of an error; those that are `nil` don't apply.
    public init(
        _ kind: ErrorKind, slot: UInt64? = nil, otherSlot: UInt64? = nil,
        addressSpace: UInt64? = nil, path: String? = nil, errno: Errno? = nil,
        operation: Int? = nil, generation: Generation? = nil,
        oldestGeneration: Generation? = nil, reason: String? = nil, limit: String? = nil,
        vcpus: [String]? = nil, readers: [String]? = nil
    ) {
        (self.kind, self.slot, self.otherSlot) = (kind, slot, otherSlot)
        (self.addressSpace, self.path, self.errno) = (addressSpace, path, errno)
        (self.operation, self.generation) = (operation, generation)
        (self.oldestGeneration, self.reason, self.limit) = (oldestGeneration, reason, limit)
        (self.vcpus, self.readers) = (vcpus, readers)
    }
}
