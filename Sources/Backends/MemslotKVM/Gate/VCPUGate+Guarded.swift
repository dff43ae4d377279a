public import Memslots

extension VCPUGate {
    /// Runs something that uses slots, and that no vCPU does, inside the gate: an ioctl on the VM,
    /// or the loading of a device's state.
    ///
    /// Waits first while a transaction holds vCPUs out; a transaction waits until it returns. It is
    /// not interrupted: let it be short, or submits give up at their deadline. Hold no lock that a
    /// hook or a submitting thread may want.
    ///
    /// - Parameters:
    ///   - name: told in errors if it doesn't return in time.
    ///   - body: what to run.
    /// - Throws: ``ReentryError`` where this thread is inside the gate, in a reader's closure, or in
    ///   a hook or observer of the same table; nothing has been run then.
    public func guarded<R>(as name: String, _ body: () -> R) throws(ReentryError) -> R {
        // Nothing to kick, and the entry ends with the call.
        let entry = register(name: name, kick: {})
        return try entry.run(body)
    }
}
