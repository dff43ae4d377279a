package import Memslots

/// A simulated VM that takes raw slot calls, so that the simulator can be held against a kernel.
///
/// Not for use by several threads at once.
package final class SimulatedRawVM: RawSlotCalls {
    /// The VM's state, to look at, and to read and clear dirty logs.
    package var kernel: SimulatedKernel
    private var descriptors: [RawGuestMemfd: Int32] = [:]

    /// The size of each guest_memfd that a raw call names: 8 MiB.
    package static let guestMemfdSize = ByteCount(8 << 20)

    /// Linux 6.18 with the default type of VM: `guest-memfd` is taken, by the newer call only.
    package static let recordedKernel = Capabilities(
        flags: [.logDirtyPages, .readOnly, .guestMemfd])

    /// A VM without slots.
    package init(capabilities: Capabilities = SimulatedRawVM.recordedKernel) {
        self.kernel = SimulatedKernel(capabilities: capabilities)
    }

    /// Carries `region` out.
    ///
    /// - Returns: the errno, or `nil` where the call succeeded.
    package func setUserMemoryRegion(_ region: RawRegion) -> Errno? {
        do throws(Errno) {
            let binding = GuestMemfdBinding(
                descriptor: try descriptor(region.guestMemfd ?? .none),
                offset: ByteCount(region.guestMemfdOffset))
            let words = Memslot(
                id: SlotID(region.slot & 0xffff),
                addressSpace: AddressSpaceID(region.slot >> 16),
                guestPhysicalAddress: GuestPhysicalAddress(region.guestPhysicalAddress),
                size: ByteCount(region.memorySize),
                userspaceAddress: UserspaceAddress(region.userspaceAddress),
                flags: MemslotFlags(rawValue: region.flags),
                guestMemfd: binding)
            try kernel.setMemoryRegion(
                words, form: region.guestMemfd == nil ? .region : .region2)
            return nil
        } catch {
            return error
        }
    }

    /// The handle for what a call names, opened when first named.
    private func descriptor(_ name: RawGuestMemfd) throws(Errno) -> Int32 {
        if name == .none { return -1 }
        if let descriptor = descriptors[name] { return descriptor }
        let descriptor =
            switch name {
            case .file: try kernel.files.create(size: Self.guestMemfdSize.rawValue)
            default: try kernel.files.openForeign()
            }
        descriptors[name] = descriptor
        return descriptor
    }
}
