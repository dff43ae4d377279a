import Synchronization

/// A reader for callers that have no closures, such as C. The caller sees to it that every stay
/// ends, and that a view isn't used after it.
extension TableReader {
    /// Enters; not from inside.
    ///
    /// - Returns: what names the stay, and the generation; `nil` from inside.
    package borrowing func enterUnscoped() -> (ticket: UInt64, generation: Generation)? {
        guard lines.pointee.ticket.load(ordering: .relaxed) & 1 == 0 else { return nil }
        let version = enter()
        return (
            lines.pointee.ticket.load(ordering: .relaxed),
            Generation(rawValue: version.pointee.generation)
        )
    }

    /// Whether the reader is inside, in the stay that `ticket` names.
    package borrowing func isInside(_ ticket: UInt64) -> Bool {
        ticket & 1 == 1 && lines.pointee.ticket.load(ordering: .relaxed) == ticket
    }

    /// What the stay sees.
    package borrowing func viewUnscoped() -> TableView {
        TableView(lines: lines, version: lines.pointee.version)
    }

    /// Ends the stay that `ticket` names.
    ///
    /// - Returns: whether the reader was in it.
    package borrowing func leaveUnscoped(_ ticket: UInt64) -> Bool {
        guard isInside(ticket) else { return false }
        leave()
        return true
    }
}
