import Glibc
package import MemslotKVM
package import MemslotSimulator
package import Memslots

package protocol VMFactory: Sendable {
    /// Returns why a scene is not supported; `nil` if it is.
    func reasonToSkip(_ scene: SweepScene) -> String?

    /// Creates a VM without slots that supports the scene.
    func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM
}

/// A VM of a sweep, which can be inspected without the engine.
package protocol SweptVM: AnyObject {
    /// The backend, which does not fail by itself.
    var backend: any MemslotBackend { get }

    /// Whether ``write(_:of:)`` has an effect.
    var hasGuestWrites: Bool { get }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32

    /// Whether exactly `slots` are installed, according to the VM itself.
    func holdsExactly(_ slots: [Memslot]) -> Bool

    /// The ranges that are private, according to the VM itself.
    var privateRanges: [GuestRange] { get }

    /// Writes to pages of an installed slot like a guest.
    func write(_ pages: [UInt64], of slot: Memslot)
}

package struct SimulatedVMFactory: VMFactory {
    private let protection: DirtyLogProtection

    package init(_ protection: DirtyLogProtection = .automatic) { self.protection = protection }

    package func reasonToSkip(_ scene: SweepScene) -> String? { nil }

    package func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        SimulatedBackend(capabilities: scene.capabilities, dirtyLogProtection: protection)
    }
}

extension SimulatedBackend: SweptVM {
    package var backend: any MemslotBackend { self }
    package var hasGuestWrites: Bool { true }

    package func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 {
        try makeGuestMemfd(size: ByteCount(size))
    }

    package func holdsExactly(_ slots: [Memslot]) -> Bool { installedSlots == slots }

    package func write(_ pages: [UInt64], of slot: Memslot) {
        for page in pages {
            let address = GuestPhysicalAddress(
                slot.guestPhysicalAddress.rawValue + page * capabilities.pageSize.rawValue)
            do throws(TouchError) {
                try touch(address, size: ByteCount(1), in: slot.addressSpace)
            } catch { preconditionFailure("a page of an installed slot: \(error)") }
        }
    }
}

/// Creates KVM VMs without vCPUs. Logs begin full, so that there are dirty pages without a guest.
package struct KVMFactory: VMFactory {
    private let system: KVMSystem
    private let host: Capabilities
    static let options = KVMOptions(dirtyLog: .manualInitiallySet)
    /// KVM allocates about 8 bytes a page.
    private static let mostBytes: UInt64 = 1 << 37

    /// A factory for VMs of this host. Throws why KVM can't be used.
    package init(system: KVMSystem) throws(KVMError) {
        self.system = system
        host = try KVMBackend(system: system, options: Self.options).capabilities
    }

    package func reasonToSkip(_ scene: SweepScene) -> String? {
        let slots = scene.before + scene.wanted
        var bytes: UInt64 = 0
        for slot in slots {
            bytes = bytes.addingReportingOverflow(slot.size.rawValue).partialValue
            if bytes > Self.mostBytes { return "the kernel would allocate too much" }
            if slot.guestMemfd == .own { return "only a simulator creates guest_memfds by itself" }
            if slot.addressSpace.rawValue >= host.addressSpaces { return "no such address space" }
            if !slot.flags.isSubset(of: host.flags) { return "the host lacks a flag" }
            if slot.id != nil && slot.assignedID.rawValue >= host.maxSlots { return "no such id" }
            let end = slot.guestPhysicalAddress.rawValue + slot.size.rawValue
            if ByteCount(end - 1).pages(of: host.pageSize) > host.maxGuestPage {
                return "past the host's largest page"
            }
            let range = slot.guestPhysicalAddress..<slot.guestPhysicalEnd
            if host.reservedRanges.contains(where: { $0.overlaps(range) }) {
                return "overlaps KVM's own pages"
            }
        }
        return nil
    }

    package func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        do throws(KVMError) {
            return SweptKVM(try KVMBackend(system: system, options: Self.options))
        } catch { throw error.errno ?? .invalidArgument }
    }
}

private final class SweptKVM: SweptVM {
    private let kvm: KVMBackend
    private var files: [Int32] = []

    init(_ kvm: KVMBackend) { self.kvm = kvm }
    deinit { for file in files { close(file) } }
    var backend: any MemslotBackend { kvm }
    var hasGuestWrites: Bool { false }
    var privateRanges: [GuestRange] { [] }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 {
        do throws(KVMError) {
            let file = try kvm.vm.makeGuestMemfd(size: ByteCount(size))
            files.append(file)
            return file
        } catch { throw error.errno ?? .invalidArgument }
    }

    func holdsExactly(_ slots: [Memslot]) -> Bool {
        (try? KVMBackend(adopting: kvm.vm, installed: slots, options: KVMFactory.options)) != nil
    }

    func write(_ pages: [UInt64], of slot: Memslot) {}
}
