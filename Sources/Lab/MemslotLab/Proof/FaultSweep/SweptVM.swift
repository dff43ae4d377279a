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
