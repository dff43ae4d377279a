/// What carries slot calls out: a kernel's VM, a simulator, or a VMM author's own.
///
/// The table calls a backend from one thread at a time. Nothing here may wait for a vCPU, a
/// reader or a hook: most of it runs while the guest is held out.
public protocol MemslotBackend: AnyObject, Sendable {
    /// What the backend allows. Constant for the life of the backend.
    var capabilities: Capabilities { get }

    /// Carries one call out, wholly or not at all.
    ///
    /// - Throws: the kernel's errno; the slots are then as before the call.
    func carryOut(_ call: SlotCall) throws(Errno)

    /// The pages of an installed, logging slot that the guest wrote since they were last cleared.
    ///
    /// - Parameters:
    ///   - slot: the slot as it is installed now.
    ///   - clear: `true`: exactly the answered bits are clear afterwards. `false`: they may be
    ///     cleared or not, whatever is cheaper; the caller keeps them either way.
    /// - Throws: the kernel's errno; the log is then as before the call. A backend that can't
    ///   promise this answers with more pages rather than fewer.
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap

    /// Said before the first call of each transaction, and of each recovery.
    func transactionBegins()

    /// Said before dirty logs are read, in a transaction with vCPUs held out: a backend with a
    /// dirty ring empties it now, while slot ids still mean what they meant.
    func dirtyLogsWillBeRead()
}

extension MemslotBackend {
    /// Does nothing.
    public func transactionBegins() {}

    /// Does nothing.
    public func dirtyLogsWillBeRead() {}
}
