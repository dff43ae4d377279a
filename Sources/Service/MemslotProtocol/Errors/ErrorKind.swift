/// The kinds of errors of the wire: each has a name, `data.kind`, and a code.
///
/// A test checks that the list equals that of the protocol's reference. A name may occur
/// under two codes; each pair of code and name is a case.
public enum ErrorKind: String, Hashable, Sendable, CaseIterable {
    /// The line is not JSON. −32700.
    case parseError = "parse-error"
    /// The line is JSON, but not a request. −32600.
    case invalidRequest = "invalid-request"
    /// There is no such method. −32601.
    case methodNotFound = "method-not-found"
    /// A parameter is missing, unknown, repeated or of the wrong type. −32602.
    case invalidParams = "invalid-params"

    /// No such VM, or another user's. −32001.
    case unknownVM = "unknown-vm"
    /// The VM has no such memory object. −32001.
    case unknownMemory = "unknown-memory"
    /// The VM has no such observer. −32001.
    case unknownObserver = "unknown-observer"
    /// The VM has no such slot. −32001.
    case unknownSlot = "unknown-slot"
    /// The array of a generation that the history does not reach. −32001.
    case unknownGeneration = "unknown-generation"
    /// The slot doesn't log dirty pages. −32001.
    case notLogging = "not-logging"
    /// No slot at a guest physical address. −32001.
    case unmapped
    /// A guest's write to a read-only slot. −32001.
    case readOnly = "read-only"

    /// A VM of that name exists. −32002.
    case vmExists = "vm-exists"
    /// A memory object of that name exists. −32002.
    case memoryExists = "memory-exists"
    /// An observer of that name is attached. −32002.
    case observerExists = "observer-exists"

    /// A guest physical address that is no multiple of the VM's page. −32003.
    case misalignedAddress = "misaligned-address"
    /// A size that is no multiple of the VM's page. −32003.
    case misalignedSize = "misaligned-size"
    /// A size of 0. −32003.
    case zeroSize = "zero-size"
    /// Guest physical address and size wrap 2^64. −32003.
    case addressOverflow = "address-overflow"
    /// Past the VM's largest guest page. −32003.
    case addressTooLarge = "address-too-large"
    /// More pages than KVM allows for a slot. −32003.
    case sizeTooLarge = "size-too-large"
    /// A userspace address that is misaligned or not wholly in user space. −32003.
    case badUserspaceAddress = "bad-userspace-address"
    /// Two slots share a guest byte. −32003.
    case overlap
    /// Two slots have one id. −32003.
    case duplicateSlot = "duplicate-slot"
    /// An id that is not below the VM's number of slots. −32003.
    case slotOutOfRange = "slot-out-of-range"
    /// No such address space. −32003.
    case badAddressSpace = "bad-address-space"
    /// More slots than an address space has. −32003.
    case tooManySlots = "too-many-slots"
    /// A flag that the VM does not support, or `guest-memfd` with another flag. −32003.
    case unsupportedFlag = "unsupported-flag"
    /// A guest range that KVM reserves. −32003.
    case reservedAddress = "reserved-address"
    /// Neither a userspace address nor memory. −32003.
    case backingMissing = "backing-missing"
    /// Both a userspace address and memory. −32003.
    case backingAmbiguous = "backing-ambiguous"
    /// Past the end of the memory object. −32003.
    case backingOutOfBounds = "backing-out-of-bounds"
    /// A memory offset that is not aligned. −32003.
    case backingMisaligned = "backing-misaligned"
    /// A slot names a memory object that the VM does not have. −32003.
    case slotOfUnknownMemory = "slot-of-unknown-memory"
    /// A userspace address where only named memory is allowed. −32003.
    case rawAddressRefused = "raw-address-refused"
    /// A `guest-memfd` slot without its file. −32003.
    case guestMemfdMissing = "guest-memfd-missing"
    /// A range of a guest_memfd that another slot is bound to. −32003.
    case guestMemfdRangeBound = "guest-memfd-range-bound"

    /// The generation is not the expected one. −32004.
    case generationConflict = "generation-conflict"
    /// A hook vetoed. −32005.
    case prepareRejected = "prepare-rejected"
    /// The backend failed, and the VM is as before. −32006.
    case rolledBack = "rolled-back"
    /// The rollback failed too. −32007.
    case vmFailed = "vm-failed"
    /// The memory object is in use. −32008.
    case memoryInUse = "memory-in-use"
    /// A limit of the server is exceeded. −32009.
    case limitExceeded = "limit-exceeded"
    /// The peer's role does not allow the method. −32010.
    case notPermitted = "not-permitted"
    /// The host does not have the backend. −32011.
    case backendUnavailable = "backend-unavailable"
    /// A simulator's method on a KVM VM. −32011.
    case wrongBackend = "wrong-backend"
    /// A vCPU or a reader did not leave in time. −32012.
    case quiesceTimeout = "quiesce-timeout"
    /// The server is shutting down. −32013.
    case shuttingDown = "shutting-down"

    /// The kind with this code and name; `nil` if there is none.
    public init?(code: Int, name: String) {
        guard let kind = Self.allCases.first(where: { $0.code == code && $0.name == name }) else {
            return nil
        }
        self = kind
    }

    /// The code of an error of this kind.
    public var code: Int {
        switch self {
        case .parseError: -32_700
        case .invalidRequest: -32_600
        case .methodNotFound: -32_601
        case .invalidParams: -32_602
        case .unknownVM, .unknownMemory, .unknownObserver, .unknownSlot, .unknownGeneration,
            .notLogging, .unmapped, .readOnly:
            -32_001
        case .vmExists, .memoryExists, .observerExists: -32_002
        case .generationConflict: -32_004
        case .prepareRejected: -32_005
        case .rolledBack: -32_006
        case .vmFailed: -32_007
        case .memoryInUse: -32_008
        case .limitExceeded: -32_009
        case .notPermitted: -32_010
        case .backendUnavailable, .wrongBackend: -32_011
        case .quiesceTimeout: -32_012
        case .shuttingDown: -32_013
        // Every fault of an array.
        default: -32_003
        }
    }

    /// The kind's name, as in `data.kind`.
    public var name: String { self == .slotOfUnknownMemory ? "unknown-memory" : rawValue }
}
