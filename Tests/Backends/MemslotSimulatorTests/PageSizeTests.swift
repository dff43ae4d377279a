import MemslotSimulator
import MemslotTestKit
import Memslots
import Testing

/// The same slots in larger pages must have the same fate: nothing depends on 4096 bytes.
@Suite("page sizes")
struct PageSizeTests {
    /// A machine in pages of `page`. Its numbers are units of a page; half units are off a page.
    private struct Machine {
        let page: UInt64
        let backend: SimulatedBackend
        let table: MemslotTable
        private var random: SeededRandom

        init(page: ByteCount, seed: UInt64) throws {
            self.page = page.rawValue
            var configuration = SimulatorConfiguration()
            configuration.pageSize = page
            configuration.maxSlots = 12
            configuration.guestPhysicalBits = UInt32(page.rawValue.trailingZeroBitCount) + 6
            configuration.userspaceEnd = UserspaceAddress(40 * page.rawValue)
            configuration.flags.insert(.guestMemfd)
            backend = try SimulatedBackend(configuration: configuration)
            table = try MemslotTable(backend: backend)
            random = SeededRandom(seed: seed)
        }

        private mutating func bytes(below count: UInt64) -> UInt64 {
            let half = random.once(in: 60) ? page / 2 : 0
            return random.below(count) * page + half
        }

        private mutating func slot(_ id: UInt32) -> Memslot {
            let flags: [MemslotFlags] = [
                [], .logDirtyPages, .logDirtyPages, .readOnly, .guestMemfd,
            ]
            let named = random.once(in: 2)
            return Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(bytes(below: 66)),
                size: ByteCount(bytes(below: 5) + (random.once(in: 40) ? 0 : page)),
                userspaceAddress: UserspaceAddress(bytes(below: 38)),
                flags: flags[Int(random.below(5))],
                memory: named
                    ? MemoryReference(object: MemoryObjectID(1), offset: ByteCount(bytes(below: 8)))
                    : nil)
        }

        /// Submits a random array, writes and reads logs, and returns what happened, in pages.
        mutating func step() -> String {
            var array = table.snapshot().array.slots
            for _ in 0...random.below(2) {
                switch random.below(3) {
                case 0 where !array.isEmpty:
                    array.remove(at: Int(random.below(UInt64(array.count))))
                case 1 where !array.isEmpty:
                    let index = Int(random.below(UInt64(array.count)))
                    array[index].guestPhysicalAddress = GuestPhysicalAddress(bytes(below: 66))
                default:
                    let slot = slot(UInt32(random.below(13)))
                    array.removeAll { $0.id == slot.id }
                    array.append(slot)
                }
            }
            var text = submit(array)
            for _ in 0..<3 {
                let logging = table.snapshot().array.slots.filter(\.isLogging)
                var (address, size) = (bytes(below: 66), bytes(below: 4))
                if let slot = logging.randomElement(using: &random), !random.once(in: 3) {
                    size = bytes(below: 2) + page
                    address =
                        slot.guestPhysicalAddress.rawValue + bytes(below: slot.size.rawValue / page)
                }
                do throws(TouchError) {
                    try backend.touch(GuestPhysicalAddress(address), size: ByteCount(size))
                    text += " written"
                } catch { text += " \(error.kind)" }
            }
            let clears = random.once(in: 3)
            for slot in table.snapshot().array.slots where slot.isLogging {
                let log = try? table.dirtyLog(of: slot, clear: clears)
                text += " log \(log?.bitmap.runs ?? []) of \(log?.bitmap.pageCount ?? 0)"
            }
            return text
        }

        private func submit(_ array: [Memslot]) -> String {
            func units(_ slot: Memslot) -> String {
                func unit(_ bytes: UInt64) -> String { "\(Double(bytes) / Double(page))" }
                return "\(slot.assignedKey)@\(unit(slot.guestPhysicalAddress.rawValue))"
                    + "+\(unit(slot.size.rawValue))=\(unit(slot.userspaceAddress.rawValue))"
            }
            do throws(SubmitError) {
                let receipt = try table.submit(array)
                let calls = receipt.operations.map {
                    "\($0.call.before.map(units) ?? "") to \($0.call.after.map(units) ?? "")"
                }
                let lost = receipt.unmappedDirtyPages.map { "\($0.slot.assignedKey) \($0.runs)" }
                return "\(calls) unmapped \(lost)"
            } catch {
                guard case .invalid(let faults) = error else { return "\(error)" }
                return "\(faults.violations.map { "\($0.kind) \($0.index ?? -1)" })"
            }
        }
    }

    @Test(
        "slots in larger pages have the same fate",
        arguments: [ByteCount.kibibytes(16), .kibibytes(64), .mebibytes(1)],
        1...3 as ClosedRange<UInt64>)
    func scaled(page: ByteCount, seed: UInt64) throws {
        var (small, large) = (
            try Machine(page: .page, seed: seed), try Machine(page: page, seed: seed)
        )
        var committed = 0
        var logged = 0
        for step in 0..<200 {
            let (expected, found) = (small.step(), large.step())
            #expect(found == expected, "step \(step)")
            if found != expected { return }
            if expected.hasPrefix("[\"") { committed += 1 }
            if expected.contains("log [Range") { logged += 1 }
        }
        #expect(committed > 30)
        #expect(logged > 20)
    }

    @Test("a slot of 2^31 pages is one too many, in pages of the VM")
    func mostPages() throws {
        for page in [ByteCount.page, .kibibytes(64)] {
            var configuration = SimulatorConfiguration()
            configuration.pageSize = page
            configuration.guestPhysicalBits = 60
            configuration.userspaceEnd = UserspaceAddress(1 << 60)
            let table = try MemslotTable(backend: SimulatedBackend(configuration: configuration))
            func submit(_ pages: UInt64) throws -> Receipt {
                try table.submit([
                    Memslot(
                        id: 0, guestPhysicalAddress: 0, size: ByteCount(pages * page.rawValue),
                        userspaceAddress: 0)
                ])
            }
            #expect(throws: SubmitError.self) { try submit(1 << 31) }
            #expect(try submit((1 << 31) - 1).outcome == .committed)
        }
    }

    @Test("KVM_CLEAR_DIRTY_LOG counts 64 of the VM's pages")
    func clear() throws {
        var configuration = SimulatorConfiguration(profile: .arm64Pages64K)
        configuration.dirtyLogProtection = .manualInitiallySet
        var kernel = SimulatedKernel(
            capabilities: try configuration.capabilities(), dirtyLogProtection: .manualInitiallySet)
        let slot = Memslot(
            id: 0, guestPhysicalAddress: 0, size: .mebibytes(8), userspaceAddress: 0,
            flags: .logDirtyPages)
        try kernel.setMemoryRegion(slot)
        let key = slot.assignedKey
        try kernel.clearDirtyLog(of: key, firstPage: 64, pageCount: 64, words: [.max])
        #expect(try kernel.getDirtyLog(of: key).runs == [0..<64])
        #expect(throws: Errno.invalidArgument) {
            try kernel.clearDirtyLog(of: key, firstPage: 64, pageCount: 128, words: [0, 0])
        }
    }

    @Test("dirty pages of an observer with smaller pages mark whole pages")
    func observer() throws {
        let slot = Memslot(
            id: 0, guestPhysicalAddress: 0, size: .mebibytes(1), userspaceAddress: 0)
        let pages = DirtyPages(slot: slot, runs: [15..<17, 255..<256])
        #expect(pages.bits(inPagesOf: .kibibytes(64)).runs == [0..<2, 15..<16])
    }

    @Test("what no host of a profile has is refused, by the member's name")
    func contradictions() {
        func member(
            _ profile: HostProfile?, _ kernel: KernelVersion? = nil,
            _ change: (inout SimulatorConfiguration) -> Void
        ) -> String? {
            var configuration = SimulatorConfiguration(profile: profile, kernel: kernel)
            change(&configuration)
            do throws(SimulatorConfigurationError) { _ = try configuration.capabilities() } catch {
                return error.member
            }
            return nil
        }
        for profile in HostProfile.allCases { #expect(member(profile) { _ in } == nil) }
        #expect(member(.arm64Pages64K) { $0.pageSize = .page } == "pageSize")
        #expect(member(.x86) { $0.pageSize = .kibibytes(16) } == "pageSize")
        #expect(member(nil) { $0.pageSize = .kibibytes(16) } == nil)
        #expect(member(nil) { $0.pageSize = .mebibytes(2) } == "pageSize")
        #expect(member(nil) { $0.pageSize = ByteCount(12_288) } == "pageSize")
        #expect(member(.arm64) { $0.addressSpaces = 2 } == "addressSpaces")
        #expect(member(.x86) { $0.addressSpaces = 2 } == nil)
        #expect(member(.arm64) { $0.guestPhysicalBits = 31 } == "guestPhysicalBits")
        #expect(member(.riscv64) { $0.guestPhysicalBits = 48 } == "guestPhysicalBits")
        #expect(member(.riscv64) { $0.guestPhysicalBits = 41 } == nil)
        #expect(member(.s390x) { $0.flags.insert(.readOnly) } == "flags")
        #expect(member(.arm64) { $0.flags.insert(.guestMemfd) } == nil)
        #expect(member(.arm64, KernelVersion(6, 17)) { $0.flags.insert(.guestMemfd) } == "flags")
    }

    @Test("a lone deletion needs a hold on every host but x86-64", arguments: HostProfile.allCases)
    func loneDeletion(profile: HostProfile) throws {
        let table = try MemslotTable(
            backend: SimulatedBackend(configuration: SimulatorConfiguration(profile: profile)))
        _ = try table.submit([
            Memslot(
                id: 0, guestPhysicalAddress: 0, size: .mebibytes(1), userspaceAddress: 0x10_0000)
        ])
        #expect(try table.plan([]).quiesced == (profile != .x86))
    }

    @Test("s390x: validation refuses a guest address that the kernel accepts and that maps nothing")
    func offSegment() throws {
        let backend = try SimulatedBackend(configuration: SimulatorConfiguration(profile: .s390x))
        let slot = Memslot(
            id: 0, guestPhysicalAddress: 0x8_0000, size: .mebibytes(1),
            userspaceAddress: 0x10_0000)
        try backend.apply(.create(slot))
        let table = try MemslotTable(
            backend: SimulatedBackend(configuration: SimulatorConfiguration(profile: .s390x)))
        let error = #expect(throws: SubmitError.self) { try table.submit([slot]) }
        guard case .invalid(let faults)? = error else { throw Errno.invalidArgument }
        #expect(faults.violations.map(\.kind) == [.misalignedAddress])
    }
}
