import Glibc
import MemslotKVM
import MemslotProtocol
import MemslotScenario
package import Memslots

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
        vcpu.exitsImmediately = true
        _ = try vcpu.run()
        vcpu.exitsImmediately = false
    }
}

/// User memory at an address that is the same in every run, so that printed calls can be repeated.
///
/// A guest can only write where user memory is mapped. Slot calls themselves never look.
package enum UserWindow {
    /// The first address.
    package static let start = UserspaceAddress(0x6f00_0000_0000)
    /// Bytes for slots; a page of code comes behind them.
    package static let size = ByteCount(16 << 20)
    /// The page of a guest's code.
    static let code = UserspaceAddress(start.rawValue + size.rawValue)

    /// Whether the page at `address` is in the window.
    static func contains(_ address: UInt64) -> Bool {
        address >= start.rawValue && address < code.rawValue
    }

    /// Maps the window once in the process, for good.
    ///
    /// - Throws: `EEXIST` where something else is there, and the errno of `mmap`.
    static func map() throws(Errno) { try mapped.get() }

    private static let mapped: Result<Void, Errno> = {
        let length = Int(size.rawValue + pageSize.rawValue)
        // Unsafe: only a hint, so that nothing that is mapped already is lost.
        let hint = UnsafeMutableRawPointer(bitPattern: UInt(start.rawValue))
        let memory = mmap(
            hint, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0)
        guard let memory, memory != MAP_FAILED else { return .failure(Errno(rawValue: errno)) }
        guard memory == hint else {
            munmap(memory, length)
            return .failure(.fileExists)
        }
        // Unsafe: the last page of the mapping just made.
        (memory + Int(size.rawValue)).copyMemory(
            from: WritingGuest.code, byteCount: WritingGuest.code.count)
        return .success(())
    }()
}
