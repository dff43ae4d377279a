/// Keeps another user of guest memory in step with the table: vhost, VFIO, an IOMMU.
///
/// For each change of a transaction, in plan order, the table calls ``prepare(_:)``; then either
/// ``commit(_:)`` and ``finish(_:)``, or, in reverse order, ``abort(_:)``. A replaced slot is
/// passed as removed, then as added; in ``prepare(_:)`` both exist together. All calls come from the
/// thread that executes the transaction: the caller of a blocking submit, or a thread of the table's
/// for an `async` one; for a submit that had to wait, the thread of one before it. Inside a hook the
/// table can be read; submitting to it or entering its vCPU gate throws ``ReentryError``.
///
/// A hook does not receive the slots that the table has when the hook is added. The recovery of a
/// failed table calls no hook.
///
/// There are no default implementations: a method with a mistyped name or signature, such as
/// `prepare` that `throws` anything, does not compile. An empty body is written out.
public protocol MemslotHook: AnyObject, Sendable {
    /// The name that errors show for the hook.
    var name: String { get }

    /// A Boolean value that indicates whether vCPUs must be held out of the guest whenever this
    /// hook gets a change. Without it ``commit(_:)`` of additions alone, and of one deletion alone,
    /// runs beside the guest, and more with `continuity`.
    var needsQuiescence: Bool { get }

    /// Prepares for a change. The guest runs; the hook may take as long as it needs.
    ///
    /// - Throws: ``HookVeto`` to refuse the whole transaction. This hook then gets no ``abort(_:)``
    ///   for this change; the changes that were prepared before get one.
    func prepare(_ change: MemslotChange) throws(HookVeto)

    /// Adopts a prepared change. The backend has the new slots. Readers are held out, and vCPUs are
    /// too if the plan, the caller or a hook needs it. A plan of additions alone and, on x86-64, one
    /// deletion alone of a slot that does not log run beside the guest; with `continuity` also a
    /// plan that needs no hold, and this call where deletions come after the hold. The arrays are
    /// swapped afterwards, so ``MemslotTable/read(as:_:)`` still returns the old array here, as a
    /// ``TableReader`` does.
    ///
    /// Can't fail; must be short, and must not acquire a lock that a vCPU thread may hold.
    func commit(_ change: MemslotChange)

    /// Cleans up after a committed change. The guest runs on the new array. A ``TableReader`` may
    /// still use memory of the old array: unmap it when the receipt says ``Receipt/retired``.
    func finish(_ change: MemslotChange)

    /// Undoes what ``prepare(_:)`` did. The transaction does not commit. The guest runs on the old
    /// array; but after a failed undo vCPUs are held, and the installed slots are neither array.
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
