import Glibc
package import MemslotKVM
package import Memslots

/// The kernel's VMs. No vCPU runs in them: only slots, and what the kernel says about them.
///
/// Dirty logs begin full, so that there are bits without a guest.
package struct KVMGround: SweepGround {
    private let system: KVMSystem
    private let host: Capabilities
    private static let options = KVMOptions(dirtyLog: .manualInitiallySet)
    /// KVM allocates some 8 bytes a page.
    private static let mostBytes: UInt64 = 1 << 37

    /// VMs of this host.
    ///
    /// - Throws: why KVM can't be used.
    package init() throws(KVMError) {
        system = try KVMSystem()
        host = try KVMBackend(system: system, options: Self.options).capabilities
    }

    package var name: String { "kvm" }

    package func lack(for scene: SweepScene) -> String? {
        let slots = scene.before + scene.wanted
        var bytes: UInt64 = 0
        for slot in slots {
            bytes = bytes.addingReportingOverflow(slot.size.rawValue).partialValue
            if bytes > Self.mostBytes { return "the kernel would allocate too much" }
            if slot.guestMemfd == .own { return "a simulator alone gives slots their files" }
            if slot.addressSpace.rawValue >= host.addressSpaces { return "no such address space" }
            if !slot.flags.isSubset(of: host.flags) { return "the host lacks a flag" }
            if slot.id != .unassigned && slot.id.rawValue >= host.maxSlots { return "no such id" }
            let end = slot.guestPhysicalAddress.rawValue + slot.size.rawValue
            if (end - 1) >> 12 > host.maxGuestPage { return "past the host's largest page" }
            let range = slot.guestPhysicalAddress..<slot.guestPhysicalEnd
            if host.reservedRanges.contains(where: { $0.overlaps(range) }) {
                return "KVM's own pages stand there"
            }
        }
        return nil
    }

    package func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        do throws(KVMError) {
            return SweptKVM(try KVMBackend(system: system, options: Self.options), Self.options)
        } catch {
            throw error.errno ?? .invalidArgument
        }
    }
}

private final class SweptKVM: SweptVM {
    private let kvm: KVMBackend
    private let options: KVMOptions
    private var files: [Int32] = []

    init(_ kvm: KVMBackend, _ options: KVMOptions) {
        self.kvm = kvm
        self.options = options
    }

    deinit { for file in files { close(file) } }

    var backend: any MemslotBackend { kvm }
    var takesWrites: Bool { false }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 {
        do throws(KVMError) {
            let file = try kvm.vm.makeGuestMemfd(size: ByteCount(size))
            files.append(file)
            return file
        } catch {
            throw error.errno ?? .invalidArgument
        }
    }

    func holdsExactly(_ slots: [Memslot]) -> Bool {
        do throws(KVMError) {
            _ = try KVMBackend(takingOver: kvm.vm, installed: slots, options: options)
            return true
        } catch {
            return false
        }
    }

    func write(_ pages: [UInt64], of slot: Memslot) {}
}
