/// Keeps an observer that maps guest memory in step with the table: vhost, VFIO, an IOMMU.
///
/// For each change of a transaction, in plan order, the table calls ``prepare(_:)``; then either
/// ``commit(_:)`` and ``finish(_:)``, or, in reverse order, ``abort(_:)``. A replaced slot is
/// passed as removed, then as added. All calls come from the submitting thread. Inside a hook the
/// table can be read; submitting to it or entering its vCPU gate throws ``ReentryError``.
///
/// There are no default implementations: a method with a mistyped name or signature, such as
/// `prepare` that `throws` anything, does not compile. An empty body is written out.
public protocol MemslotHook: AnyObject, Sendable {
    /// The name that errors show for the hook.
    var name: String { get }

    /// A Boolean value that indicates whether vCPUs must be held out of the guest whenever this
    /// hook gets a change.
    var needsQuiescence: Bool { get }

    /// Prepares for a change. The guest runs; the hook may take as long as it needs.
    ///
    /// - Throws: ``HookVeto`` to refuse the whole transaction.
    func prepare(_ change: MemslotChange) throws(HookVeto)

    /// Adopts a prepared change. The slots are switched and nobody observes them: readers are held
    /// out, and vCPUs are too if the plan, the caller or a hook needs it (a plan of additions
    /// alone runs beside the guest). Only a ``TableReader`` may still read the old array.
    ///
    /// Can't fail; must be short, and must not acquire a lock that a vCPU thread may hold.
    func commit(_ change: MemslotChange)

    /// Cleans up after a committed change. The guest runs on the new table. A ``TableReader`` may
    /// still use memory of the old array: unmap it when the receipt says ``Receipt/retired``.
    func finish(_ change: MemslotChange)

    /// Undoes what ``prepare(_:)`` did. The transaction does not commit.
    func abort(_ change: MemslotChange)
}

/// A hook's refusal of a transaction.
public struct HookVeto: Error, Hashable, Sendable, CustomStringConvertible {
    /// A sentence that gives the reason.
    public var reason: String

    /// Refuses for `reason`.
    public init(_ reason: String) { self.reason = reason }

    /// The reason.
    public var message: String { reason }
    /// The reason.
    public var description: String { reason }
}
