import CKVM
package import Memslots

/// A new VM of the kernel that accepts raw slot calls, to compare a simulator with.
///
/// Use it from one thread at a time.
package final class KVMRawVM {
    package let vm: VirtualMachine
    /// Owns the guest_memfds of another VM.
    private let other: VirtualMachine
    private let memfd: Descriptor
    private var otherFile: Descriptor?
    private var files: [UInt32: Descriptor] = [:]

    /// The size of each guest_memfd and of the ordinary memfd: 8 MiB.
    package static let fileSize = ByteCount(rawValue: 8 << 20)

    package init(system: KVMSystem) throws(KVMError) {
        self.vm = try system.makeVirtualMachine()
        self.other = try system.makeVirtualMachine()
        let memfd = try CallResult(ckvm_memfd_create("memslots-raw", 0)).value(of: "memfd_create")
        self.memfd = Descriptor(memfd)
        _ = try CallResult(ckvm_truncate(memfd, Int64(Self.fileSize.rawValue)))
            .value(of: "ftruncate")
    }

    /// Makes the call of `region`: the older one if `region` has no guest_memfd word. Returns the
    /// errno, or `nil` if the call succeeded.
    package func setUserMemoryRegion(_ region: RawRegion) -> Errno? {
        var words = RegionWords(
            slot: region.slot, flags: region.flags, address: region.guestPhysicalAddress,
            size: region.memorySize, userspaceAddress: region.userspaceAddress)
        guard let guestMemfd = region.guestMemfd else {
            return words.apply(to: vm.descriptor, byRegion2: false)
        }
        words.guestMemfdOffset = region.guestMemfdOffset
        words.guestMemfd = descriptor(of: guestMemfd)
        return words.apply(to: vm.descriptor, byRegion2: true)
    }

    /// The descriptor of `guestMemfd`; −1 if the kernel creates none, so that slot calls fail.
    private func descriptor(of guestMemfd: RawGuestMemfd) -> Int32 {
        switch guestMemfd {
        case .file(let index):
            if files[index] == nil { files[index] = makeFile(of: vm) }
            return files[index]?.rawValue ?? -1
        case .otherVM:
            if otherFile == nil { otherFile = makeFile(of: other) }
            return otherFile?.rawValue ?? -1
        case .kvm: return vm.system.descriptor
        case .vm: return vm.descriptor
        case .memfd: return memfd.rawValue
        case .none: return -1
        }
    }

    private func makeFile(of vm: VirtualMachine) -> Descriptor? {
        (try? vm.makeGuestMemfd(size: Self.fileSize)).map { Descriptor($0) }
    }
}
