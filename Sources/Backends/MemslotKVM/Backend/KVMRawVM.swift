import CKVM
package import Memslots

/// A new VM of the kernel that accepts raw slot calls, to compare a simulator with.
///
/// Use it from one thread at a time.
package final class KVMRawVM {
    package let vm: VirtualMachine
    /// Owns the guest_memfds of another VM.
    private let other: VirtualMachine
    private let memfd: OwnedDescriptor
    private var otherFile: OwnedDescriptor?
    private var files: [UInt32: OwnedDescriptor] = [:]

    /// The size of each guest_memfd and of the ordinary memfd: 8 MiB.
    package static let fileSize = ByteCount(rawValue: 8 << 20)

    package init(system: KVMSystem) throws(KVMError) {
        self.vm = try system.makeVirtualMachine()
        self.other = try system.makeVirtualMachine()
        let memfd = try checkCall("memfd_create", ckvm_memfd_create("memslots-raw", 0))
        self.memfd = OwnedDescriptor(adopting: memfd)
        guard ftruncate(memfd, Int(Self.fileSize.rawValue)) == 0 else {
            throw .callFailed(call: "ftruncate", errno: .last)
        }
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
        words.guest_memfd_offset = region.guestMemfdOffset
        words.guest_memfd = UInt32(bitPattern: descriptor(of: guestMemfd))
        return words.apply(to: vm.descriptor, byRegion2: true)
    }

    /// The descriptor of `guestMemfd`; −1 if the kernel creates none, so that slot calls fail.
    private func descriptor(of guestMemfd: RawGuestMemfd) -> Int32 {
        switch guestMemfd {
        case .file(let index):
            if files[index] == nil { files[index] = makeFile(of: vm) }
            return files[index]?.number ?? -1
        case .otherVM:
            if otherFile == nil { otherFile = makeFile(of: other) }
            return otherFile?.number ?? -1
        case .kvm: return vm.system.descriptor
        case .vm: return vm.descriptor
        case .memfd: return memfd.number
        case .none: return -1
        }
    }

    private func makeFile(of vm: VirtualMachine) -> OwnedDescriptor? {
        (try? vm.makeGuestMemfd(size: Self.fileSize)).map { OwnedDescriptor(adopting: $0) }
    }
}
