package import Memslots

/// A simulated VM that accepts raw slot calls, to compare the simulator with a kernel.
///
/// Use it from one thread at a time.
package final class SimulatedRawVM {
    /// The VM's state, for its slots and dirty logs.
    package var kernel: SimulatedKernel
    private var descriptors: [RawGuestMemfd: Int32] = [:]

    /// The size of each guest_memfd that a raw call names: 8 MiB.
    package static let guestMemfdSize = ByteCount(8 << 20)

    /// Linux 6.18 with the default type of VM: `guest-memfd` exists, in the newer call only.
    package static let recordedKernel = Capabilities(
        flags: [.logDirtyPages, .readOnly, .guestMemfd])

    package init(capabilities: Capabilities = SimulatedRawVM.recordedKernel) {
        self.kernel = SimulatedKernel(capabilities: capabilities)
    }

    /// Applies `region`. Returns the errno, or `nil` if the call succeeded.
    package func setUserMemoryRegion(_ region: RawRegion) -> Errno? {
        do throws(Errno) {
            let binding = GuestMemfdBinding(
                descriptor: try descriptor(region.guestMemfd ?? .none),
                offset: ByteCount(region.guestMemfdOffset))
            try kernel.setMemoryRegion(
                Memslot(region, guestMemfd: binding),
                form: region.guestMemfd == nil ? .region : .region2)
            return nil
        } catch {
            return error
        }
    }

    /// The handle of a file that a call names. It is opened when it is first named.
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
