/// Keeps something else that maps guest memory in step with the table: vhost, VFIO, an IOMMU.
///
/// For each change of a transaction, in plan order, the table calls ``prepare(_:)``; then either
/// ``commit(_:)`` and ``finish(_:)``, or, in reverse order, ``abort(_:)``. A replaced slot is
/// told as removed, then as added. All calls come from the submitting thread. From inside, the
/// table can be read; a transaction can't be submitted, nor the vCPU gate be entered.
public protocol MemslotHook: AnyObject, Sendable {
    /// What errors call the hook.
    var name: String { get }

    /// Whether vCPUs must be held out whenever this hook is told of a change. False by default.
    var needsQuiescence: Bool { get }

    /// The change is to come. The guest runs; take as long as is needed.
    ///
    /// - Throws: ``HookVeto`` to refuse the whole transaction.
    func prepare(_ change: MemslotChange) throws(HookVeto)

    /// The slots are switched, and nobody looks: readers are held out, and so are vCPUs wherever
    /// the plan, the caller or a hook needs it (a plan of additions alone runs beside the guest).
    /// Only a ``TableReader`` may be in the old array still.
    ///
    /// Can't fail; must be short, and take no lock that a vCPU thread may hold.
    func commit(_ change: MemslotChange)

    /// The guest runs on the new table: clean up what is gone. A ``TableReader`` may use memory of
    /// the old array still: unmap that by the receipt.
    func finish(_ change: MemslotChange)

    /// The prepared change does not come: undo what ``prepare(_:)`` did.
    func abort(_ change: MemslotChange)
}

extension MemslotHook {
    /// `false`.
    public var needsQuiescence: Bool { false }

    /// Allows every change.
    public func prepare(_ change: MemslotChange) throws(HookVeto) {}

    /// Does nothing.
    public func commit(_ change: MemslotChange) {}

    /// Does nothing.
    public func finish(_ change: MemslotChange) {}

    /// Does nothing.
    public func abort(_ change: MemslotChange) {}
}

/// A hook's refusal of a transaction.
public struct HookVeto: Error, Hashable, Sendable {
    /// A sentence that says why.
    public var reason: String

    /// Refuses for `reason`.
    public init(_ reason: String) { self.reason = reason }
}
