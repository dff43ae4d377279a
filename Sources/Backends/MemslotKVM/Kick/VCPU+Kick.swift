public import Memslots

extension VCPU {
    /// A kick for this vCPU; keep the vCPU as long as it is used.
    public func makeKick(signal: KickSignal) -> VCPUKick {
        VCPUKick(sharedPage: sharedPage, signal: signal)
    }

    /// Runs the guest with `kick` able to bring it out.
    ///
    /// - Parameter kick: this vCPU's.
    /// - Returns: the exit, and who asked for one. Requests may come with any exit; an
    ///   ``VCPUExit/interrupted`` without one is the VMM's, or nobody's.
    /// - Throws: as ``run()``; requests then stay pending.
    public func run(
        with kick: VCPUKick
    ) throws(Errno) -> (exit: VCPUExit, requests: KickRequests) {
        kick.enter()
        let exit: VCPUExit
        do throws(Errno) {
            exit = try run()
        } catch {
            kick.depart()
            throw error
        }
        return (exit, kick.leave(interrupted: exit == .interrupted))
    }
}

extension KickSignal {
    /// Lets the calling thread take the signal; each vCPU's thread once, before it runs.
    ///
    /// Not for a VMM that blocks it outside `KVM_RUN` by `KVM_SET_SIGNAL_MASK`.
    public func acceptOnCurrentThread() throws(Errno) { try unblock() }
}
