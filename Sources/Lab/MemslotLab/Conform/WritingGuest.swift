import Glibc
import MemslotKVM
import MemslotScenario
package import Memslots

/// The code of a guest that writes one byte. Its slot is installed only during the write.
enum WritingGuest {
    /// `mov [0], al`, then `hlt`, in 16-bit real mode. DS begins at the byte.
    static let code: [UInt8] = [0xa2, 0x00, 0x00, 0xf4]
    /// The end of the addresses that real mode reaches.
    static let addressEnd: UInt64 = 1 << 32

    static let codeAddress: UInt64 = 0x7000_0000

    /// Installs the slot of the code, and deletes it after `run`, which returns how the guest exited.
    static func write(
        to address: UInt64, setRegion: (RawRegion) -> Errno?,
        _ run: (GuestPhysicalAddress) -> String
    ) -> RawReply {
        guard address < addressEnd else { return RawReply(.invalidArgument) }
        var slot = RawRegion(
            slot: 30_000, flags: 0, guestPhysicalAddress: codeAddress,
            memorySize: pageSize.rawValue, userspaceAddress: UserWindow.code.rawValue)
        if let errno = setRegion(slot) { return RawReply(errno) }
        slot.memorySize = 0
        defer { _ = setRegion(slot) }
        return RawReply(nil, exit: run(GuestPhysicalAddress(address)))
    }
}

/// A vCPU that writes one byte to a given address. The slot of its code must be installed.
struct GuestWriter {
    private let vcpu: VCPU

    /// Returns `nil` if the user memory can't be mapped or the vCPU can't be created.
    init?(of vm: VirtualMachine) {
        guard (try? UserWindow.map()) != nil, let vcpu = try? vm.makeVCPU(id: 0) else { return nil }
        self.vcpu = vcpu
    }

    /// Runs the guest until it has written. Returns how it exited.
    func write(to address: GuestPhysicalAddress) -> String {
        do throws(Errno) {
            try start(at: address)
            switch try vcpu.run() {
            case .halted: return RawReply.written
            case .mmio(let access):
                try complete()
                let isExpected = access.isWrite && access.address == address && access.size == 1
                return isExpected ? RawReply.mmio : "\(access)"
            case let exit: return "\(exit)"
            }
        } catch { return error.name }
    }

    private func start(at address: GuestPhysicalAddress) throws(Errno) {
        #if arch(x86_64)
            let code = GuestPhysicalAddress(WritingGuest.codeAddress)
            try vcpu.setMode(.real(code: code, data: address, extra: address))
            try vcpu.setRegisters(VCPURegisters())
        #else
            throw Errno(rawValue: 38)
        #endif
    }

    /// Completes an MMIO access by entering the guest, which exits at once.
    private func complete() throws(Errno) {
        vcpu.exitsImmediately = true
        _ = try vcpu.run()
        vcpu.exitsImmediately = false
    }
}

/// User memory at one address in every run, so that printed calls can be repeated. Only mapped
/// memory can be written to by a guest; slot calls do not check it.
package enum UserWindow {
    package static let start = UserspaceAddress(0x6f00_0000_0000)
    /// Bytes for slots; a page of code follows them.
    package static let size = ByteCount(16 << 20)
    static let code = UserspaceAddress(start.rawValue + size.rawValue)

    static func contains(_ address: UInt64) -> Bool {
        address >= start.rawValue && address < code.rawValue
    }

    /// Maps the window once. Throws `EEXIST` if something else is there, or the errno of `mmap`.
    static func map() throws(Errno) { try mapped.get() }

    private static let mapped: Result<Void, Errno> = {
        let length = Int(size.rawValue + pageSize.rawValue)
        // Unsafe: only a hint, so that it replaces no mapping.
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
