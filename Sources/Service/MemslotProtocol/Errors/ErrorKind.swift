/// The kinds of errors of the wire: each has a name, `data.kind`, and a code.
///
/// A test checks that the list equals that of the protocol's reference. A name may occur
/// under two codes; each pair of code and name is a case.
public enum ErrorKind: Hashable, Sendable, CaseIterable {
    /// The line is not JSON. −32700.
    case parseError
    /// The line is JSON, but not a request. −32600.
    case invalidRequest
    /// There is no such method. −32601.
    case methodNotFound
    /// A parameter is missing, unknown, repeated or of the wrong type. −32602.
    case invalidParams

    /// No such VM, or another user's. −32001.
    case unknownVM
    /// The VM has no such memory object. −32001.
    case unknownMemory
    /// The VM has no such slot. −32001.
    case unknownSlot
    /// The slot doesn't log dirty pages. −32001.
    case notLogging
    /// No slot at a guest physical address. −32001.
    case unmapped
    /// A guest's write to a read-only slot. −32001.
    case readOnly

    /// A VM of that name exists. −32002.
    case vmExists
    /// A memory object of that name exists. −32002.
    case memoryExists

    /// A guest physical address that is no multiple of 4096. −32003.
    case misalignedAddress
    /// A size that is no multiple of 4096. −32003.
    case misalignedSize
    /// A size of 0. −32003.
    case zeroSize
    /// Guest physical address and size wrap 2^64. −32003.
    case addressOverflow
    /// Past the VM's largest guest page. −32003.
    case addressTooLarge
    /// More pages than KVM allows for a slot. −32003.
    case sizeTooLarge
    /// A userspace address that is misaligned or not wholly in user space. −32003.
    case badUserspaceAddress
    /// Two slots share a guest byte. −32003.
    case overlap
    /// Two slots have one id. −32003.
    case duplicateSlot
    /// An id that is not below the VM's number of slots. −32003.
    case slotOutOfRange
    /// No such address space. −32003.
    case badAddressSpace
    /// More slots than an address space has. −32003.
    case tooManySlots
    /// A flag that the VM does not support, or `guest-memfd` with another flag. −32003.
    case unsupportedFlag
    /// A guest range that KVM reserves. −32003.
    case reservedAddress
    /// Neither a userspace address nor memory. −32003.
    case backingMissing
    /// Both a userspace address and memory. −32003.
    case backingAmbiguous
    /// Past the end of the memory object. −32003.
    case backingOutOfBounds
    /// A memory offset that is not aligned. −32003.
    case backingMisaligned
    /// A slot names a memory object that the VM does not have. −32003.
    case slotOfUnknownMemory
    /// A userspace address where only named memory is allowed. −32003.
    case rawAddressRefused
    /// A `guest-memfd` slot without its file. −32003.
    case guestMemfdMissing
    /// A range of a guest_memfd that another slot is bound to. −32003.
    case guestMemfdRangeBound

    /// The generation is not the expected one. −32004.
    case generationConflict
    /// A hook vetoed. −32005.
    case prepareRejected
    /// The backend failed, and the VM is as before. −32006.
    case rolledBack
    /// The rollback failed too. −32007.
    case vmFailed
    /// The memory object is in use. −32008.
    case memoryInUse
    /// A limit of the server is exceeded. −32009.
    case limitExceeded
    /// The peer's role does not allow the method. −32010.
    case notPermitted
    /// The host does not have the backend. −32011.
    case backendUnavailable
    /// A simulator's method on a KVM VM. −32011.
    case wrongBackend
    /// A vCPU or a reader did not leave in time. −32012.
    case quiesceTimeout
    /// The server is shutting down. −32013.
    case shuttingDown
}

extension ErrorKind {
    /// The kind with this code and name; `nil` if there is none.
    public init?(code: Int, name: String) {
        guard let kind = Self.allCases.first(where: { $0.code == code && $0.name == name }) else {
            return nil
        }
        self = kind
    }

    /// The code of an error of this kind.
    public var code: Int { wire.code }

    /// The kind's name, as in `data.kind`.
    public var name: String { wire.name }

    private var wire: (code: Int, name: String) {
        switch self {
        case .parseError: (-32_700, "parse-error")
        case .invalidRequest: (-32_600, "invalid-request")
        case .methodNotFound: (-32_601, "method-not-found")
        case .invalidParams: (-32_602, "invalid-params")
        case .unknownVM: (-32_001, "unknown-vm")
        case .unknownMemory: (-32_001, "unknown-memory")
        case .unknownSlot: (-32_001, "unknown-slot")
        case .notLogging: (-32_001, "not-logging")
        case .unmapped: (-32_001, "unmapped")
        case .readOnly: (-32_001, "read-only")
        case .vmExists: (-32_002, "vm-exists")
        case .memoryExists: (-32_002, "memory-exists")
        case .misalignedAddress: (-32_003, "misaligned-address")
        case .misalignedSize: (-32_003, "misaligned-size")
        case .zeroSize: (-32_003, "zero-size")
        case .addressOverflow: (-32_003, "address-overflow")
        case .addressTooLarge: (-32_003, "address-too-large")
        case .sizeTooLarge: (-32_003, "size-too-large")
        case .badUserspaceAddress: (-32_003, "bad-userspace-address")
        case .overlap: (-32_003, "overlap")
        case .duplicateSlot: (-32_003, "duplicate-slot")
        case .slotOutOfRange: (-32_003, "slot-out-of-range")
        case .badAddressSpace: (-32_003, "bad-address-space")
        case .tooManySlots: (-32_003, "too-many-slots")
        case .unsupportedFlag: (-32_003, "unsupported-flag")
        case .reservedAddress: (-32_003, "reserved-address")
        case .backingMissing: (-32_003, "backing-missing")
        case .backingAmbiguous: (-32_003, "backing-ambiguous")
        case .backingOutOfBounds: (-32_003, "backing-out-of-bounds")
        case .backingMisaligned: (-32_003, "backing-misaligned")
        case .slotOfUnknownMemory: (-32_003, "unknown-memory")
        case .rawAddressRefused: (-32_003, "raw-address-refused")
        case .guestMemfdMissing: (-32_003, "guest-memfd-missing")
        case .guestMemfdRangeBound: (-32_003, "guest-memfd-range-bound")
        case .generationConflict: (-32_004, "generation-conflict")
        case .prepareRejected: (-32_005, "prepare-rejected")
        case .rolledBack: (-32_006, "rolled-back")
        case .vmFailed: (-32_007, "vm-failed")
        case .memoryInUse: (-32_008, "memory-in-use")
        case .limitExceeded: (-32_009, "limit-exceeded")
        case .notPermitted: (-32_010, "not-permitted")
        case .backendUnavailable: (-32_011, "backend-unavailable")
        case .wrongBackend: (-32_011, "wrong-backend")
        case .quiesceTimeout: (-32_012, "quiesce-timeout")
        case .shuttingDown: (-32_013, "shutting-down")
        }
    }
}
