import MemslotKVM
import Memslots

/// A guest program in real mode. It adds one to a number in each page of the RAM, then counts the
/// round, again and again. When the count reaches a limit it writes to a port, and goes on.
struct CountingGuest {
    /// Where the program starts.
    static let code: UInt64 = 0x1000
    /// Where it counts its rounds.
    static let rounds: UInt64 = 0x2000
    /// The count at which it writes to ``port``.
    static let limit: UInt64 = 0x2004
    static let port: UInt16 = 0x80

    /// The RAM that it works in.
    let ram: Memslot

    /// Machine code. DS begins at the RAM, which ends 16 pages later.
    static let program: [UInt8] = [
        // again:
        0x31, 0xff,  //                               xor di, di
        // next:
        0x66, 0xff, 0x05,  //                         inc dword [di]
        0x81, 0xc7, 0x00, 0x10,  //                   add di, 0x1000
        0x75, 0xf7,  //                               jnz next
        0x2e, 0x66, 0xff, 0x06, 0x00, 0x20,  //       inc dword cs:[rounds]
        0x2e, 0x66, 0xa1, 0x00, 0x20,  //             mov eax, cs:[rounds]
        0x2e, 0x66, 0x3b, 0x06, 0x04, 0x20,  //       cmp eax, cs:[limit]
        0x75, 0xe2,  //                               jne again
        0xe6, UInt8(port),  //                        out port, al
        0xeb, 0xde,  //                               jmp again
    ]

    /// Sets a vCPU to the first instruction.
    func start(_ vcpu: VCPU) throws(Errno) {
        #if arch(x86_64)
            // The code segment begins at 0, so that `cs:[rounds]` is guest physical 0x2000.
            try vcpu.setMode(.real(code: 0, data: ram.guestPhysicalAddress, extra: 0))
            var registers = VCPURegisters()
            registers.rip = Self.code
            try vcpu.setRegisters(registers)
        #else
            #error("write a guest for this machine: its code and how a vCPU starts with it")
        #endif
    }

    /// Whether the guest left because its count has reached the limit.
    func hasReachedLimit(_ exit: VCPUExit) -> Bool {
        if case .port(let access) = exit { access.port == Self.port } else { false }
    }

    /// The pages whose number differs from the count of rounds, with the guest stopped. A guest
    /// may have been stopped in the middle of a round: one more is right, too.
    func wrongPages(in memory: GuestMemory) -> [UInt64] {
        let rounds = memory[Self.rounds]
        let offset = ram.userspaceAddress.rawValue - memory.base.rawValue
        return (0..<ram.pageCount).filter { page in
            memory[offset + page * ByteCount.page.rawValue] &- rounds > 1
        }
    }
}
