package import Memslots

/// A hook that writes down what it is told, what a reader sees at that moment, and can say no.
package final class RecordingHook: MemslotHook {
    /// A phase of a transaction.
    package enum Phase: Hashable, Sendable {
        case prepare
        case commit
        case finish
        case abort
    }

    /// One call.
    package struct Note: Hashable, Sendable {
        let hook: String
        let phase: Phase
        let change: MemslotChange
        /// What the table was for a reader at that moment.
        let generation: Generation
    }

    /// The calls of several hooks, in the order in which they came.
    package final class Book: Sendable {
        private struct State {
            var notes: [Note] = []
            var prepared = 0
            var veto: Int?
            /// What readers see; `nil` before there is a table.
            var table: MemslotTable?
        }

        private let state = Locked(State())

        /// An empty book.
        package init() {}

        /// Opens a new page: forgets the calls, and says no at preparation `veto`.
        package func begin(veto: Int? = nil) {
            state.withLock { ($0.notes, $0.prepared, $0.veto) = ([], 0, veto) }
        }

        /// Whose readers are asked.
        package func attach(_ table: MemslotTable?) { state.withLock { $0.table = table } }

        /// What was written.
        package var notes: [Note] { state.withLock { $0.notes } }

        /// - Returns: whether the preparation is to be refused.
        fileprivate func note(_ hook: String, _ phase: Phase, _ change: MemslotChange) -> Bool {
            let table = state.withLock { $0.table }
            let generation = table?.read { $0.generation } ?? Generation(0)
            return state.withLock { state in
                state.notes.append(
                    Note(hook: hook, phase: phase, change: change, generation: generation))
                guard phase == .prepare else { return false }
                defer { state.prepared += 1 }
                return state.prepared == state.veto
            }
        }
    }

    package let name: String
    package var needsQuiescence: Bool { false }
    private let book: Book

    /// A hook that writes to `book`.
    package init(_ name: String, _ book: Book) {
        self.name = name
        self.book = book
    }

    /// Why a veto is made.
    package static let reason = "the sweep says no"

    package func prepare(_ change: MemslotChange) throws(HookVeto) {
        if book.note(name, .prepare, change) { throw HookVeto(Self.reason) }
    }

    package func commit(_ change: MemslotChange) { _ = book.note(name, .commit, change) }
    package func finish(_ change: MemslotChange) { _ = book.note(name, .finish, change) }
    package func abort(_ change: MemslotChange) { _ = book.note(name, .abort, change) }
}
