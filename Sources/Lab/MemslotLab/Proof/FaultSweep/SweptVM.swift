import Glibc
package import MemslotKVM
package import MemslotSimulator
package import Memslots

/// What faults are tried on: simulated VMs, or the kernel's.
package protocol SweepGround: Sendable {
    /// What reports call it.
    var name: String { get }

    /// Why a scene can't be had here; `nil` where it can.
    func lack(for scene: SweepScene) -> String?

    /// A VM without slots, with at least what the scene needs.
    func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM
}

/// A VM, as the sweep needs it: asked about itself behind the engine's back.
package protocol SweptVM: AnyObject {
    /// What carries calls out, and never fails by itself.
    var backend: any MemslotBackend { get }

    /// Whether ``write(_:of:)`` does something.
    var takesWrites: Bool { get }

    /// Makes a guest_memfd.
    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32

    /// Whether exactly `slots` are installed, by the VM's own word.
    func holdsExactly(_ slots: [Memslot]) -> Bool

    /// Makes pages of an installed slot dirty, as the guest would.
    func write(_ pages: [UInt64], of slot: Memslot)
}

/// Simulated VMs.
package struct SimulatedGround: SweepGround {
    private let protection: DirtyLogProtection

    /// Simulated VMs whose dirty logs are cleared as `protection` says.
    package init(_ protection: DirtyLogProtection = .automatic) { self.protection = protection }

    package var name: String { "simulated, \(protection)" }

    package func lack(for scene: SweepScene) -> String? { nil }

    package func makeVM(for scene: SweepScene) throws(Errno) -> any SweptVM {
        SweptSimulator(
            SimulatedBackend(
                capabilities: scene.capabilities, dirtyLogProtection: protection))
    }
}

private final class SweptSimulator: SweptVM {
    private let simulator: SimulatedBackend

    init(_ simulator: SimulatedBackend) { self.simulator = simulator }

    var backend: any MemslotBackend { simulator }
    var takesWrites: Bool { true }

    func makeGuestMemfd(_ size: UInt64) throws(Errno) -> Int32 {
        try simulator.createGuestMemfd(size: ByteCount(size))
    }

    func holdsExactly(_ slots: [Memslot]) -> Bool { simulator.installedSlots == slots }

    func write(_ pages: [UInt64], of slot: Memslot) {
        for page in pages {
            let address = GuestPhysicalAddress(
                slot.guestPhysicalAddress.rawValue + page * pageSize.rawValue)
            do throws(TouchError) {
                try simulator.touch(address, size: ByteCount(1), in: slot.addressSpace)
            } catch {
                preconditionFailure("a page of an installed slot: \(error)")
            }
        }
    }
}

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
            if slot.id != nil && slot.assignedID.rawValue >= host.maxSlots { return "no such id" }
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
            _ = try KVMBackend(adopting: kvm.vm, installed: slots, options: options)
            return true
        } catch {
            return false
        }
    }

    func write(_ pages: [UInt64], of slot: Memslot) {}
}
