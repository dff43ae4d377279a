/// The kinds of errors of the wire: each has a name, `data.kind`, and a code.
///
/// A test checks that the list equals that of the protocol's reference. Two codes may share a name,
/// so a case is a name under one code.
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
    public var code: Int {
        switch self {
        case .parseError: -32_700
        case .invalidRequest: -32_600
        case .methodNotFound: -32_601
        case .invalidParams: -32_602
        case .unknownVM, .unknownMemory, .unknownSlot, .notLogging, .unmapped, .readOnly: -32_001
        case .vmExists, .memoryExists: -32_002
        case .misalignedAddress, .misalignedSize, .zeroSize, .addressOverflow, .addressTooLarge,
            .sizeTooLarge, .badUserspaceAddress, .overlap, .duplicateSlot, .slotOutOfRange,
            .badAddressSpace, .tooManySlots, .unsupportedFlag, .reservedAddress, .backingMissing,
            .backingAmbiguous, .backingOutOfBounds, .backingMisaligned, .slotOfUnknownMemory,
            .rawAddressRefused, .guestMemfdMissing, .guestMemfdRangeBound:
            -32_003
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
        }
    }

    /// The kind's name, as in `data.kind`.
    public var name: String {
        switch self {
        case .parseError: "parse-error"
        case .invalidRequest: "invalid-request"
        case .methodNotFound: "method-not-found"
        case .invalidParams: "invalid-params"
        case .unknownVM: "unknown-vm"
        case .unknownMemory, .slotOfUnknownMemory: "unknown-memory"
        case .unknownSlot: "unknown-slot"
        case .notLogging: "not-logging"
        case .unmapped: "unmapped"
        case .readOnly: "read-only"
        case .vmExists: "vm-exists"
        case .memoryExists: "memory-exists"
        case .misalignedAddress: "misaligned-address"
        case .misalignedSize: "misaligned-size"
        case .zeroSize: "zero-size"
        case .addressOverflow: "address-overflow"
        case .addressTooLarge: "address-too-large"
        case .sizeTooLarge: "size-too-large"
        case .badUserspaceAddress: "bad-userspace-address"
        case .overlap: "overlap"
        case .duplicateSlot: "duplicate-slot"
        case .slotOutOfRange: "slot-out-of-range"
        case .badAddressSpace: "bad-address-space"
        case .tooManySlots: "too-many-slots"
        case .unsupportedFlag: "unsupported-flag"
        case .reservedAddress: "reserved-address"
        case .backingMissing: "backing-missing"
        case .backingAmbiguous: "backing-ambiguous"
        case .backingOutOfBounds: "backing-out-of-bounds"
        case .backingMisaligned: "backing-misaligned"
        case .rawAddressRefused: "raw-address-refused"
        case .guestMemfdMissing: "guest-memfd-missing"
        case .guestMemfdRangeBound: "guest-memfd-range-bound"
        case .generationConflict: "generation-conflict"
        case .prepareRejected: "prepare-rejected"
        case .rolledBack: "rolled-back"
        case .vmFailed: "vm-failed"
        case .memoryInUse: "memory-in-use"
        case .limitExceeded: "limit-exceeded"
        case .notPermitted: "not-permitted"
        case .backendUnavailable: "backend-unavailable"
        case .wrongBackend: "wrong-backend"
        case .quiesceTimeout: "quiesce-timeout"
        case .shuttingDown: "shutting-down"
        }
    }
}
