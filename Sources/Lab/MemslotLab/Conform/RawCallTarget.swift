internal import MemslotProtocol
package import MemslotScenario
package import Memslots

/// A fresh VM that answers raw calls: the kernel's, or its twin.
///
/// Not for use by several threads at once.
package protocol RawCallTarget: AnyObject {
    /// Carries `call` out.
    func carryOut(_ call: RawCall) -> RawReply

    /// Holds what is installed against `slots`.
    ///
    /// - Parameters:
    ///   - slots: every slot that is to be there, each with its id, without what it is bound to.
    ///   - protection: the argument of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` that is in force.
    /// - Returns: what differs; `nil` where nothing does.
    func difference(from slots: [Memslot], protection: UInt64) -> String?
}

/// The code of a guest that writes one byte, in a slot of its own for the time of the write.
enum WritingGuest {
    /// `mov [0], al`, then `hlt`, in 16-bit real mode. DS begins at the byte.
    static let code: [UInt8] = [0xa2, 0x00, 0x00, 0xf4]
    /// Real mode reaches no byte past it.
    static let addressEnd: UInt64 = 1 << 32

    /// The call that installs the code's slot, or takes it away.
    static func slot(isInstalled: Bool) -> RawRegion {
        RawRegion(
            slot: 30_000, flags: 0, guestPhysicalAddress: codeAddress,
            memorySize: isInstalled ? pageSize.rawValue : 0,
            userspaceAddress: UserWindow.code.rawValue)
    }

    /// Where the guest finds its code.
    static let codeAddress: UInt64 = 0x7000_0000
}
