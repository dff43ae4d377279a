public import Memslots

/// Why a back end can't be used, or did not do what was asked.
///
/// After `refused` and the errors that are found before anything is sent, the connection still
/// works. After every other error it is closed.
public enum VhostUserError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A system call failed.
    case systemCall(String, Errno)
    /// The connection was closed, by the peer or after an earlier error.
    case closed(during: String)
    /// The deadline passed.
    case timeout(during: String)
    /// What the peer sent has the wrong size, version or flags, or impossible contents.
    case malformed(in: String, reason: String)
    /// A reply to another request.
    case wrongReply(to: VhostUserRequest, got: UInt32)
    /// The peer sent something before it was asked.
    case unsolicited(before: VhostUserRequest)
    /// The message has more descriptors than it may have, or fewer.
    case wrongDescriptorCount(in: String, count: Int, expected: Int)
    /// The peer acknowledged with a number that is not 0.
    case refused(VhostUserRequest, status: UInt64)
    /// The peer does not offer this, or it was not negotiated.
    case notNegotiated(String)
    /// The peer has no room for so many regions.
    case tooManyRegions(Int, limit: Int)
    /// No descriptor is known for the memory behind this slot.
    case noDescriptor(GuestPhysicalAddress)
    /// A log, a ring or a configuration that can't be what the peer needs.
    case invalid(String)
    /// At the deadline the ring still had requests in flight.
    case notDrained(ring: Int, used: UInt16, base: UInt16)

    /// Called from inside a transaction of the same table; waiting would deadlock.
    case reentrant

    /// A stable name of the case.
    public var kind: String {
        switch self {
        case .systemCall: "system-call"
        case .closed: "closed"
        case .timeout: "timeout"
        case .malformed: "malformed"
        case .wrongReply: "wrong-reply"
        case .unsolicited: "unsolicited"
        case .wrongDescriptorCount: "wrong-descriptor-count"
        case .refused: "refused"
        case .notNegotiated: "not-negotiated"
        case .tooManyRegions: "too-many-regions"
        case .noDescriptor: "no-descriptor"
        case .invalid: "invalid"
        case .notDrained: "not-drained"
        case .reentrant: "reentrant"
        }
    }

    var endsConnection: Bool {
        switch self {
        case .systemCall, .closed, .timeout, .malformed, .wrongReply, .unsolicited,
            .wrongDescriptorCount:
            true
        case .refused, .notNegotiated, .tooManyRegions, .noDescriptor, .invalid, .notDrained,
            .reentrant:
            false
        }
    }

    /// A sentence that says what is wrong.
    public var message: String {
        switch self {
        case .systemCall(let call, let errno): "\(call) failed with \(errno)"
        case .closed(let step): "the back end's connection was closed at \(step)"
        case .timeout(let step): "the back end did not complete \(step) before the deadline"
        case .malformed(let step, let reason):
            "what the back end sent in \(step) is malformed: \(reason)"
        case .wrongReply(let request, let got):
            "instead of a reply to \(request.name) the back end sent message \(got)"
        case .unsolicited(let request):
            "the back end sent data before it was asked for \(request.name)"
        case .wrongDescriptorCount(let step, let count, let expected):
            "\(step) came with \(count) descriptors instead of \(expected)"
        case .refused(let request, let status):
            "the back end refused \(request.name) with status \(status)"
        case .notNegotiated(let feature): "\(feature) is not negotiated with the back end"
        case .tooManyRegions(let count, let limit):
            "\(count) regions are needed, and the back end has room for \(limit)"
        case .noDescriptor(let address): "no descriptor is known for the memory at \(address)"
        case .invalid(let reason): reason
        case .reentrant:
            "rings can't be started or stopped, and the back end not be reconnected, from inside a "
                + "transaction of its table; do it after the submit"
        case .notDrained(let ring, let used, let base):
            "ring \(ring) has requests in flight: it was used up to \(used) of \(base)"
        }
    }

    /// The message.
    public var description: String { message }
}
