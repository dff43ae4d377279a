package import Memslots

/// What one call did to the slots.
struct SlotChange {
    enum Kind: Hashable {
        case create
        case delete
        case move
        case reflag
        /// The slot was like that already, or the call can't be understood.
        case nothing
    }

    var kind: Kind = .nothing
    /// The slots that were taken away; more than one only after a surprise.
    var removed: [Memslot] = []
    var added: Memslot?
    var reflagged: (from: Memslot, to: Memslot)?
    var surprise: Surprise?
}

/// A successful call that doesn't go with the calls before it.
///
/// The log began late, lost lines, or holds calls that strace could not decode.
package enum Surprise: Hashable, Sendable {
    /// Its words break a rule that every kernel keeps. It is counted, and changes nothing.
    case impossible
    /// It deletes a slot that no call of the log made. It changes nothing.
    case deletesUnknownSlot
    /// It gives a slot another size, backing or `readonly`, which KVM only takes after a
    /// deletion. The slot is taken to have been deleted.
    case replacesSlot
    /// It stands where another slot was. That slot is taken to have been deleted.
    case overlapsSlot(SlotKey)
    /// strace printed its argument as a pointer. It is counted, and changes nothing.
    case undecoded
}

/// A ``Surprise`` and where it is.
package struct SurprisingCall: Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    package var line: Int
    /// What the call says; `nil` where it was not decoded.
    package var key: SlotKey?
    /// What is odd about it.
    package var surprise: Surprise

    /// A sentence that says what and where.
    package var description: String {
        let name = key.map { "slot \($0)" } ?? "a slot"
        let what =
            switch surprise {
            case .impossible: "sets \(name) to words that no kernel takes; left out"
            case .deletesUnknownSlot: "deletes \(name), which no call before it made; left out"
            case .replacesSlot:
                "changes what \(name) can't change in place; taken as deleted before"
            case .overlapsSlot(let other):
                "puts \(name) where slot \(other) was; that one taken as deleted before"
            case .undecoded:
                "changes a slot in a way that strace printed as a pointer; counted, but not known"
            }
        return "line \(line): \(what)"
    }
}
