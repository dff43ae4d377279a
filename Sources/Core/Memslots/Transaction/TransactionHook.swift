/// A hook that receives a transaction as a whole, where ``MemslotHook`` receives each change.
///
/// For an observer whose own table is exchanged at once, such as a vhost-user back end. It is called
/// after every ``MemslotHook`` in ``prepare(_:)``, ``commit(_:)`` and ``finish(_:)``, and before
/// them in ``abort(_:)``: what it prepares is begun last and ends first. The rules of ``MemslotHook``
/// about threads, re-entry and recovery hold for it too.
public protocol TransactionHook: AnyObject, Sendable {
    /// The name that errors show for the hook.
    var name: String { get }

    /// Begins to follow the table, from `snapshot` on: every later transaction is passed.
    ///
    /// - Throws: ``HookVeto`` if the hook can't follow; it is not added then.
    func begin(with snapshot: TableSnapshot) throws(HookVeto)

    /// Prepares for a transaction, by its deadline. The guest runs.
    ///
    /// - Throws: ``HookVeto`` to refuse the transaction, with everything of this hook as before. It
    ///   gets no ``abort(_:)`` then. ``SubmitError/rejected(hook:change:reason:)`` shows the first
    ///   change.
    func prepare(_ changes: TransactionChanges) throws(HookVeto)

    /// Adopts the transaction. As ``MemslotHook/commit(_:)``.
    func commit(_ changes: TransactionChanges)

    /// Cleans up after the transaction. As ``MemslotHook/finish(_:)``.
    func finish(_ changes: TransactionChanges)

    /// Undoes what ``prepare(_:)`` did. As ``MemslotHook/abort(_:)``.
    func abort(_ changes: TransactionChanges)

    /// Returns the pages that the observer wrote since the last call, by the slots of the array
    /// that was in force when it wrote them. The table adds them to its dirty logs, by host page.
    ///
    /// Called before logs are read: by a client, and inside a transaction that ends a log. There
    /// readers are held out, and vCPUs too if the plan needs it; the hook must not wait.
    func dirtyPages() -> [DirtyPages]
}

/// A transaction as a hook sees it.
public struct TransactionChanges: Sendable {
    /// The changes, in plan order: a replaced slot as removed, then as added.
    public let changes: [MemslotChange]
    /// The slots before, ascending by address space and id.
    public let before: [Memslot]
    /// The slots afterwards, ascending by address space and id.
    public let after: [Memslot]
    /// The moment until which ``TransactionHook/prepare(_:)`` may wait: the submit's
    /// ``SubmitOptions/quiesceDeadline``, counted from the first call of a hook.
    public let deadline: Deadline

    /// Creates a transaction, for tests of a hook.
    public init(changes: [MemslotChange], before: [Memslot], after: [Memslot], deadline: Deadline) {
        (self.changes, self.before) = (changes, before)
        (self.after, self.deadline) = (after, deadline)
    }
}

/// A hook of an observer that receipts name.
public protocol ReportingHook: TransactionHook {
    /// Returns what was sent since ``TransactionHook/prepare(_:)``. Called after
    /// ``TransactionHook/finish(_:)``.
    func report() -> ObserverReport
}

/// What an observer was sent, and has now.
public struct ObserverReport: Hashable, Sendable {
    /// The observer's name.
    public var observer: String
    /// Its state, such as `attached` or `lost`.
    public var state: String
    /// Why it is lost; `nil` if it is not.
    public var reason: String?
    /// How many regions of memory it has.
    public var regionCount = 0
    /// How many messages of each name it was sent.
    public var messages: [String: Int] = [:]

    /// Reports that nothing was sent.
    public init(observer: String, state: String) { (self.observer, self.state) = (observer, state) }
}

extension DirtyOverlay {
    /// Adds what hooks report to every slot of `array` that logs and maps the page.
    mutating func collect(from hooks: [any TransactionHook], for array: [Memslot]) {
        for hook in hooks {
            let harvest = hook.dirtyPages().map {
                Harvested(slot: $0.slot, bits: $0.bits(inPagesOf: pageSize))
            }
            // A page that no slot logs is of no interest.
            _ = carry(harvest, to: array)
        }
    }
}
