/// Applies operations to slots: a kernel's VM, a simulator, or a VMM author's own.
///
/// The table calls a backend from one thread at a time. No method may wait for a vCPU, a reader
/// or a hook: most of them run while the guest is held out. There are no default implementations:
/// a method with a mistyped name or signature does not compile.
public protocol MemslotBackend: AnyObject, Sendable {
    /// What the backend allows. Constant for the life of the backend.
    var capabilities: Capabilities { get }

    /// Begins a transaction, or the recovery of a failed table. Called before its first operation;
    /// most backends do nothing here.
    func beginTransaction()

    /// Applies one call, wholly or not at all.
    ///
    /// - Throws: the kernel's errno; the slots are then as before the call.
    func apply(_ call: SlotCall) throws(Errno)

    /// Moves dirty pages from queues that all slots share, such as a dirty ring, to the logs of
    /// their slots. Called before logs are read, while slot ids still mean what they meant; in a
    /// transaction that needs it, with vCPUs held out. A backend without such a queue does
    /// nothing here.
    func collectDirtyPages()

    /// Returns the pages of an installed, logging slot that the guest wrote since they were last
    /// cleared.
    ///
    /// - Parameters:
    ///   - slot: the slot as it is installed now.
    ///   - clear: `true`: exactly the returned bits are clear afterwards. `false`: they may be
    ///     cleared or not, whatever is cheaper; the caller keeps them either way.
    /// - Throws: the kernel's errno; the log is then as before the call. A backend that can't
    ///   promise this returns more pages rather than fewer.
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap
}

/// A backend whose guest memory can be private. The table uses it where
/// ``Capabilities/memoryAttributes`` of its capabilities is `true`.
public protocol MemoryAttributeBackend: MemslotBackend {
    /// Makes a range of address space 0 private, or shared, wholly or not at all; it may be so already.
    /// Called while vCPUs are held; may take time by the number of pages.
    /// Throws the kernel's errno; the attributes are then as before the call.
    /// Kernel: `KVM_SET_MEMORY_ATTRIBUTES`.
    func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno)
}
