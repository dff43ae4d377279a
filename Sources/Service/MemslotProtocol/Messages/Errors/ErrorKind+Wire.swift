extension ErrorKind {
    /// The kind that has this name under this code; `nil` if there is none.
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

    /// The kind's name, as `data.kind` has it.
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
