internal import MemslotProtocol
internal import Memslots

extension ProtocolError {
    /// The error of a submit that did not take effect. `slots` are those of the request, for ids
    /// that the core can't represent.
    init(_ error: SubmitError, slots: [SlotParameters]) {
        switch error {
        case .invalid(let array): self.init(array, slots: slots)
        case .conflict(let present, _):
            self.init(ErrorData(.generationConflict, generation: present), message: error.message)
        case .rejected(_, let change, let reason):
            var data = ErrorData(.prepareRejected, of: change.key)
            data.reason = reason
            self.init(data, message: error.message)
        case .quiesceTimeout(let vcpus, let readers):
            self.init(
                ErrorData(.quiesceTimeout, vcpus: vcpus, readers: readers), message: error.message)
        case .rolledBack(let rollback):
            var data = ErrorData(.rolledBack, of: rollback.call?.key)
            (data.errno, data.operation) = (rollback.errno, rollback.operation)
            if rollback.attribute != nil { data.path = "attributes" }
            self.init(data, message: error.message)
        case .failed(let failure): self.init(failure)
        case .reentrant: self.init(.invalidRequest, error.message)
        }
    }

    init(_ failure: TableFailure) {
        self.init(
            ErrorData(
                .vmFailed, path: failure.attribute.map { _ in "attributes" },
                errno: failure.undoErrno, operation: failure.operation), message: failure.message)
    }

    init(_ error: DirtyLogError) {
        switch error {
        case .slotWithoutID: self.init(.unknownSlot, error.message)
        case .unknownSlot(let key):
            self.init(ErrorData(.unknownSlot, of: key), message: error.message)
        case .notLogging(let key):
            self.init(ErrorData(.notLogging, of: key), message: error.message)
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
        let violations = array.violations.map { violation in
            var data = ErrorData(violation, slots: slots)
            data.message = Self.sentence(violation, slots: slots)
            return data
        }
        let first = array.violations.first
        var message = first.map { Self.sentence($0, slots: slots) } ?? array.message
        if array.count > 1 { message += " (\(array.count) faults in all)" }
        self =
            ProtocolError(violations: violations, count: array.count, message: message)
            ?? ProtocolError(.invalidRequest, message)
    }

    /// The core's message, with the id of the request.
    private static func sentence(_ violation: Violation, slots: [SlotParameters]) -> String {
        guard violation.list == .slots, let index = violation.index,
            let slot = slots[index].slot, slot > UInt32.max
        else { return violation.message }
        return "slot \(slot) at slots[\(index)]: \(violation.detail)"
    }
}

extension ErrorData {
    fileprivate init(_ kind: ErrorKind, of key: SlotKey?) {
        self.init(
            kind, slot: key.map { UInt64($0.id.rawValue) },
            addressSpace: key.map { UInt64($0.addressSpace.rawValue) })
    }

    /// One fault of an invalid array, with the ids and address spaces of the request.
    fileprivate init(_ violation: Violation, slots: [SlotParameters]) {
        let kind =
            ErrorKind(code: ErrorKind.overlap.code, name: violation.kind.rawValue)
            ?? .invalidRequest
        // A private range has no id.
        let slots = violation.list == .slots ? slots : nil
        let given = violation.index.flatMap { slots?[$0] }
        self.init(
            kind, slot: given?.slot, otherSlot: violation.otherIndex.flatMap { slots?[$0].slot },
            addressSpace: given?.addressSpace ?? UInt64(violation.addressSpace.rawValue),
            path: violation.path, errno: violation.errno)
    }
}
