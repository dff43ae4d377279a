import MemslotKVM
import Memslots
import Testing

extension OnKVM {
    @Suite("probes")
    struct ProbeTests {
        @Test("the largest guest page and the end of user space are exact")
        func limits() throws {
            let system = try KVMSystem()
            let limits = try system.limits()
            let raw = try KVMRawVM(system: system)
            func errno(ofPage page: UInt64, at userspaceAddress: UInt64) -> Errno? {
                raw.setUserMemoryRegion(
                    RawRegion(
                        slot: 0, flags: 0, guestPhysicalAddress: page * 4096, memorySize: 0x1000,
                        userspaceAddress: userspaceAddress))
            }
            #expect(errno(ofPage: limits.maxGuestPage + 1, at: 0) == .invalidArgument)
            #expect(
                errno(ofPage: limits.maxGuestPage, at: limits.userspaceEnd.rawValue)
                    == .invalidArgument)
            let last = limits.userspaceEnd.rawValue - 0x1000
            #expect(errno(ofPage: limits.maxGuestPage, at: last) == nil)
            #expect(limits.maxGuestPage & (limits.maxGuestPage + 1) == 0)
        }

        @Test("the number of slots is the number of ids that work")
        func slots() throws {
            let system = try KVMSystem()
            let backend = try KVMBackend(system: system)
            let raw = try KVMRawVM(system: system)
            func errno(ofID id: UInt32) -> Errno? {
                raw.setUserMemoryRegion(
                    RawRegion(
                        slot: id, flags: 0, guestPhysicalAddress: 0, memorySize: 0x1000,
                        userspaceAddress: 0))
            }
            #expect(errno(ofID: backend.capabilities.maxSlots) == .invalidArgument)
            #expect(errno(ofID: backend.capabilities.maxSlots - 1) == nil)
            // The next address space does not exist.
            #expect(errno(ofID: backend.capabilities.addressSpaces << 16) == .invalidArgument)
        }

        @Test("each reported flag is accepted, each other is refused")
        func flags() throws {
            let system = try KVMSystem()
            let backend = try KVMBackend(system: system)
            let raw = try KVMRawVM(system: system)
            for bit in 0..<32 as Range<UInt32> {
                let flag = MemslotFlags(rawValue: 1 << bit)
                let file: RawGuestMemfd? = flag == .guestMemfd ? .file(index: 0) : nil
                let errno = raw.setUserMemoryRegion(
                    RawRegion(
                        slot: bit, flags: flag.rawValue,
                        guestPhysicalAddress: UInt64(bit) << 20, memorySize: 0x1000,
                        userspaceAddress: 0, guestMemfd: file))
                let isReported = backend.capabilities.flags.contains(flag)
                #expect((errno == nil) == isReported, "bit \(bit): \(errno?.name ?? "accepted")")
            }
        }

        @Test("options are enabled and reported")
        func options() throws {
            let system = try KVMSystem()
            let plain = try KVMBackend(system: system)
            #expect(!plain.capabilities.dirtyLogStartsFull)
            #expect(plain.capabilities.reservedRanges == ReservedRanges.ownVM)
            let full = try KVMBackend(
                system: system,
                options: KVMOptions(dirtyLog: .manualInitiallySet, reservedRanges: []))
            #expect(full.capabilities.dirtyLogStartsFull)
            #expect(full.capabilities.reservedRanges == [])
            if plain.kernel.canKeepOtherMappings {
                #expect(plain.kernel.dropsAllMappings == true)
                let kept = try KVMBackend(
                    system: system, options: KVMOptions(keepsOtherMappings: true))
                #expect(kept.kernel.dropsAllMappings == false)
            }
            #expect(throws: KVMError.self) {
                try KVMBackend(system: system, options: KVMOptions(dirtyLog: .ring(bytes: 5000)))
            }
        }
    }
}
