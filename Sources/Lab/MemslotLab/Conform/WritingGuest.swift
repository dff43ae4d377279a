internal import MemslotKVM
internal import MemslotProtocol
import MemslotScenario
internal import Memslots

/// A vCPU that writes a byte where it is told to. Its code's slot must be installed.
struct GuestWriter {
    private let vcpu: VCPU

    /// `nil` where the user memory or the vCPU can't be had.
    init?(of vm: VirtualMachine) {
        do throws(Errno) { try UserWindow.map() } catch { return nil }
        do throws(KVMError) { vcpu = try vm.makeVCPU(id: 0) } catch { return nil }
    }

    /// Runs the guest until it has written.
    ///
    /// - Returns: how it came out.
    func write(to address: GuestPhysicalAddress) -> String {
        do throws(Errno) {
            try start(at: address)
            switch try vcpu.run() {
            case .halted: return RawReply.written
            case .mmio(let access):
                try complete()
                let isAsked = access.isWrite && access.address == address && access.size == 1
                return isAsked ? RawReply.mmio : "\(access)"
            case let exit: return "\(exit)"
            }
        } catch {
            return error.name
        }
    }

    private func start(at address: GuestPhysicalAddress) throws(Errno) {
        #if arch(x86_64)
            let code = GuestPhysicalAddress(WritingGuest.codeAddress)
            try vcpu.enter(.real(code: code, data: address, extra: address))
            try vcpu.setRegisters(VCPURegisters())
        #else
            throw Errno(rawValue: 38)
        #endif
    }

    /// An access that left the guest ends with the next entry: one that leaves at once.
    private func complete() throws(Errno) {
        vcpu.leavesAtOnce = true
        _ = try vcpu.run()
        vcpu.leavesAtOnce = false
    }
}
