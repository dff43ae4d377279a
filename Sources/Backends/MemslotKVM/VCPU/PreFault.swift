import CKVM
public import Memslots

extension GuardedVCPU {
    /// The most bytes of a call, and its longest time in milliseconds: what a transaction waits for.
    private static let preFaultLimits: (bytes: UInt64, milliseconds: Int32) = (4 << 20, 100)

    /// Maps guest memory for this vCPU ahead of the guest's accesses, as after a commit.
    ///
    /// For the vCPU's thread, after ``KickSignal/acceptOnCurrentThread()`` and between two calls of
    /// ``run()``, where ``KVMCapabilities/canPreFault``. A transaction may wait up to 100 ms for it.
    /// It never runs beside a transaction: as ``run()`` it is inside the gate, from which a
    /// transaction that holds vCPUs makes it leave, and as a reader of `table` it is beside no slot
    /// call of a transaction that does not. Before Linux 6.18 a slot that is deleted beside the call
    /// and the call wait for each other.
    ///
    /// Kernel: `KVM_PRE_FAULT_MEMORY`, api.rst 4.143, 6.11 (`kvm_vcpu_pre_fault_memory`).
    ///
    /// - Parameters:
    ///   - range: whole pages of slots, in the address space that the vCPU is in.
    ///   - table: the table of the vCPU's gate; a precondition.
    /// - Returns: what is left of `range`: nothing, or a part after a signal, a ``kick()`` or a
    ///   transaction. Check the loop's conditions, and call again with it; where it is all of `range`
    ///   twice, call ``run()`` between.
    /// - Throws: ``PreFaultError``. What is mapped stays mapped.
    public func preFault(
        _ range: Range<GuestPhysicalAddress>, of table: MemslotTable
    ) throws(PreFaultError) -> Range<GuestPhysicalAddress> {
        precondition(table.vcpuGate === entry.gate, "the table has another gate")
        let page = table.capabilities.pageSize
        guard !range.isEmpty, range.lowerBound.isMultiple(of: page),
            range.upperBound.isMultiple(of: page)
        else { throw .badRange }
        let limits = Self.preFaultLimits
        var (left, isWhole) = (range, true)
        while !left.isEmpty, isWhole, !kicker.pending.contains(.embedder) {
            var call = ckvm_pre_fault()
            call.gpa = left.lowerBound.rawValue
            call.size = min(left.upperBound.rawValue - call.gpa, limits.bytes)
            var time = Duration.zero
            let errno = try converting(
                PreFaultError.reentrant,
                entry.run {
                    table.read(as: "pre-fault of vCPU \(name)") { _ -> Errno? in
                        kicker.enter()
                        defer { kicker.depart() }
                        let start = ContinuousClock.now
                        defer { time = ContinuousClock.now - start }
                        let result = ckvm_pre_fault_memory(
                            descriptor, &call, signal.number, limits.milliseconds)
                        return failure(of: result)
                    }
                })
            // The kernel returns an errno only if it has mapped no page.
            switch errno?.rawValue {
            case nil: isWhole = call.size == 0
            case EINTR where time >= .milliseconds(limits.milliseconds): throw .stalled
            case EINTR, EAGAIN: isWhole = false
            case let number?: throw .failed(Errno(rawValue: number))
            }
            left = GuestPhysicalAddress(call.gpa)..<left.upperBound
        }
        return left
    }
}

/// Why guest memory could not be mapped ahead.
public enum PreFaultError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Called where waiting for the gate would deadlock.
    case reentrant(ReentryError)
    /// The range is empty, or not whole pages.
    case badRange
    /// The kernel mapped no page in 100 ms. Before Linux 6.15 (upstream 20a6cff3b283) it maps none
    /// after a deletion or a move, until the vCPU has been in the guest again.
    case stalled
    /// The call failed. `ENOENT`: no slot is there; `EOPNOTSUPP`: the vCPU has no two-dimensional
    /// paging, now or ever; `EFAULT`: a slot is not backed by user memory.
    case failed(Errno)

    /// The message.
    public var description: String { message }

    /// What is wrong.
    public var message: String {
        switch self {
        case .reentrant(let error): error.message
        case .badRange: "the range to map ahead is empty, or not whole pages"
        case .stalled: "KVM mapped no page in 100 ms; run the vCPU, and try again"
        case .failed(let errno): "KVM_PRE_FAULT_MEMORY failed with \(errno)"
        }
    }
}
