internal import MemslotProtocol
internal import Memslots

extension ProtocolError {
    /// The error of a submit that did not take effect.
    ///
    /// - Parameters:
    ///   - error: the core's error.
    ///   - slots: the slots of the request, for ids that the core can't represent.
    init(_ error: SubmitError, slots: [SlotParameters]) {
        switch error {
        case .invalid(let array): self.init(array, slots: slots)
        case .conflict(let present, _):
            self.init(
                ErrorData(.generationConflict, generation: present), message: error.message)
        case .rejected(_, let change, let reason):
            self.init(
                ErrorData(
                    .prepareRejected, slot: UInt64(change.key.id.rawValue),
                    addressSpace: UInt64(change.key.addressSpace.rawValue), reason: reason),
                message: error.message)
        case .quiesceTimeout(let vcpus, let readers):
            self.init(
                ErrorData(.quiesceTimeout, vcpus: vcpus, readers: readers),
                message: error.message)
        case .rolledBack(let rollback):
            let key = rollback.call?.key
            self.init(
                ErrorData(
                    .rolledBack, slot: key.map { UInt64($0.id.rawValue) },
                    addressSpace: key.map { UInt64($0.addressSpace.rawValue) },
                    errno: rollback.errno, operation: rollback.operation),
                message: error.message)
        case .failed(let failure): self.init(failure)
        case .reentrant: self.init(.invalidRequest, error.message)
        }
    }

    /// The error of a request to a failed VM.
    init(_ failure: TableFailure) {
        self.init(
            ErrorData(.vmFailed, errno: failure.undoErrno, operation: failure.operation),
            message: failure.message)
    }

    /// The error of a dirty log that can't be read.
    init(_ error: DirtyLogError) {
        switch error {
        case .slotWithoutID: self.init(.unknownSlot, error.message)
        case .unknownSlot(let key):
            self.init(Self.data(.unknownSlot, key), message: error.message)
        case .notLogging(let key):
            self.init(Self.data(.notLogging, key), message: error.message)
        case .pagesOutOfRange(let pageCount):
            self.init(
                ErrorData(.invalidParams, path: "firstPage"),
                message: "firstPage and pageCount reach past the slot's \(pageCount) pages")
        case .backend(let errno):
            self.init(ErrorData(.rolledBack, errno: errno), message: error.message)
        case .failed(let failure): self.init(failure)
        case .reentrant(let error): self.init(.invalidRequest, error.message)
        }
    }

    private init(_ array: InvalidArray, slots: [SlotParameters]) {
        let violations = array.violations.map { ErrorData($0, slots: slots) }
        let first = array.violations.first
        var message = first.map { Self.sentence($0, slots: slots) } ?? array.message
        if array.count > 1 { message += " (\(array.count) faults in all)" }
        guard
            let error = ProtocolError(
                violations: violations, count: array.count, message: message)
        else {
            self.init(.invalidRequest, message)
            return
        }
        self = error
    }

    /// The core's message, with the id of the request.
    private static func sentence(_ violation: Violation, slots: [SlotParameters]) -> String {
        guard let index = violation.index, let slot = slots[index].slot, slot > UInt32.max else {
            return violation.message
        }
        return "slot \(slot) at slots[\(index)]: \(violation.detail)"
    }

    private static func data(_ kind: ErrorKind, _ key: SlotKey) -> ErrorData {
        ErrorData(
            kind, slot: UInt64(key.id.rawValue), addressSpace: UInt64(key.addressSpace.rawValue))
    }
}

extension ErrorData {
    /// One fault of an invalid array, with the ids and address spaces of the request.
    fileprivate init(_ violation: Violation, slots: [SlotParameters]) {
        let kind =
            ErrorKind(code: ErrorKind.overlap.code, name: violation.kind.rawValue)
            ?? .invalidRequest
        let given = violation.index.map { slots[$0] }
        self.init(
            kind, slot: given?.slot, otherSlot: violation.otherIndex.flatMap { slots[$0].slot },
            addressSpace: given?.addressSpace ?? UInt64(violation.addressSpace.rawValue),
            path: violation.path, errno: violation.errno)
    }
}
