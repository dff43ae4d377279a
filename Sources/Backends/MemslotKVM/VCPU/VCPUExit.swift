import CKVM
public import Memslots

/// Why a vCPU left the guest.
public enum VCPUExit: Hashable, Sendable {
    /// A signal or `immediate_exit` interrupted the guest. The corresponding C error is `EINTR`.
    case interrupted
    /// The vCPU waits for another vCPU to start it. The corresponding C error is `EAGAIN`.
    case notReady
    /// The guest accessed an I/O port. Kernel: `KVM_EXIT_IO`.
    case port(PortAccess)
    /// The guest accessed an address without memory, or wrote to read-only memory.
    /// Kernel: `KVM_EXIT_MMIO`.
    case mmio(MMIOAccess)
    /// The guest halted. Kernel: `KVM_EXIT_HLT`.
    case halted
    /// The guest shut down, as by a triple fault. Kernel: `KVM_EXIT_SHUTDOWN`.
    case shutdown
    /// KVM could not continue; suberror 1 is a failed emulation. Kernel: `KVM_EXIT_INTERNAL_ERROR`.
    case internalError(suberror: UInt32, data: [UInt64])
    /// The processor refused the guest's state. Kernel: `KVM_EXIT_FAIL_ENTRY`.
    case entryFailed(reason: UInt64)
    /// The dirty ring must be emptied first: ``KVMBackend/collectDirtyRings(afterFullRingOf:)``.
    /// Kernel: `KVM_EXIT_DIRTY_RING_FULL`.
    case dirtyRingFull
    /// Another exit, by the kernel's number.
    case other(reason: UInt32)

    init(sharedPage run: UnsafeRawPointer) {
        switch ckvm_exit_reason(run) {
        case UInt32(KVM_EXIT_IO):
            let port = ckvm_port_exit(run)
            self = .port(
                PortAccess(
                    port: port.port, size: Int(port.size), count: Int(port.count),
                    isWrite: port.is_write != 0, value: port.data))
        case UInt32(KVM_EXIT_MMIO):
            let mmio = ckvm_mmio_exit(run)
            self = .mmio(
                MMIOAccess(
                    address: GuestPhysicalAddress(mmio.address), size: Int(mmio.size),
                    isWrite: mmio.is_write != 0, value: mmio.data))
        case UInt32(KVM_EXIT_HLT): self = .halted
        case UInt32(KVM_EXIT_SHUTDOWN): self = .shutdown
        case UInt32(KVM_EXIT_INTERNAL_ERROR):
            let data = (0..<ckvm_internal_count(run)).map { ckvm_internal_data(run, $0) }
            self = .internalError(suberror: ckvm_internal_suberror(run), data: data)
        case UInt32(KVM_EXIT_FAIL_ENTRY): self = .entryFailed(reason: ckvm_entry_failure(run))
        case UInt32(KVM_EXIT_DIRTY_RING_FULL): self = .dirtyRingFull
        case let reason: self = .other(reason: reason)
        }
    }
}

/// A guest's access to an I/O port.
public struct PortAccess: Hashable, Sendable {
    /// The port.
    public let port: UInt16
    /// The bytes of an item: 1, 2 or 4.
    public let size: Int
    /// The number of items.
    public let count: Int
    /// Whether the guest wrote.
    public let isWrite: Bool
    /// The first item, for a write.
    public let value: UInt32
}

/// A guest's access to an address without memory.
public struct MMIOAccess: Hashable, Sendable {
    /// The address.
    public let address: GuestPhysicalAddress
    /// The number of bytes: 1 to 8.
    public let size: Int
    /// Whether the guest wrote.
    public let isWrite: Bool
    /// The written value. Its bytes beyond ``size`` are undefined.
    public let value: UInt64
}
