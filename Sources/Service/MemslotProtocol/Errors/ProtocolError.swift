public import Memslots

/// What the wire answers to a request that it doesn't carry out.
public struct ProtocolError: Error, Hashable, Sendable {
    /// A sentence that says what and where.
    public var message: String
    /// The kind, and what applies to it.
    public var data: ErrorData
    /// Every fault of an invalid array in array order, ``data`` the first; empty for other errors.
    public var violations: [ErrorData]
    /// How many faults there are; more than ``violations`` where those were cut at the limit.
    public var violationCount: Int

    /// Makes an error of one fault.
    public init(_ data: ErrorData, message: String) {
        self.message = message
        self.data = data
        self.violations = []
        self.violationCount = 0
    }

    /// Makes an error without any data but its kind.
    public init(_ kind: ErrorKind, _ message: String) {
        self.init(ErrorData(kind), message: message)
    }

    /// Makes the error of an invalid array; `nil` if there is no violation.
    ///
    /// - Parameters:
    ///   - violations: every fault in array order, cut at the limit.
    ///   - count: how many there are without the limit.
    ///   - message: a sentence about the first.
    public init?(violations: [ErrorData], count: Int, message: String) {
        guard let first = violations.first else { return nil }
        self.message = message
        self.data = first
        self.violations = violations
        self.violationCount = count
    }

    /// The kind.
    public var kind: ErrorKind { data.kind }

    /// The code, which the kind has.
    public var code: Int { data.kind.code }
}

/// The kind of an error or of one violation, and what applies of the rest.
public struct ErrorData: Hashable, Sendable {
    /// The kind.
    public var kind: ErrorKind
    /// The slot's id, as it was given: not yet known to be in any range.
    public var slot: UInt64?
    /// The id of the other slot of a pair.
    public var otherSlot: UInt64?
    /// The address space, as it was given; left out of the text where it is 0.
    public var addressSpace: UInt64?
    /// Where in `params`, such as `slots[3].size`.
    public var path: String?
    /// What KVM answers, or answered.
    public var errno: Errno?
    /// The index of the operation that failed.
    public var operation: Int?
    /// The present generation.
    public var generation: Generation?
    /// What a hook, or the host, says.
    public var reason: String?
    /// Which limit.
    public var limit: String?
    /// The vCPUs that did not leave the guest.
    public var vcpus: [String]?
    /// The readers that did not leave the array.
    public var readers: [String]?

    /// Holds `kind`, and nothing else yet.
    public init(
        _ kind: ErrorKind, slot: UInt64? = nil, otherSlot: UInt64? = nil,
        addressSpace: UInt64? = nil, path: String? = nil, errno: Errno? = nil,
        operation: Int? = nil, generation: Generation? = nil, reason: String? = nil,
        limit: String? = nil, vcpus: [String]? = nil, readers: [String]? = nil
    ) {
        self.kind = kind
        self.slot = slot
        self.otherSlot = otherSlot
        self.addressSpace = addressSpace
        self.path = path
        self.errno = errno
        self.operation = operation
        self.generation = generation
        self.reason = reason
        self.limit = limit
        self.vcpus = vcpus
        self.readers = readers
    }
}
