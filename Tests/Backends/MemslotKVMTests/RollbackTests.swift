import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("rollback on a real VM")
    struct RollbackTests {
        static let modes: [DirtyLogMode] = [
            .clearedByReading, .manual, .manualInitiallySet, .ring(bytes: 65_536),
        ]

        /// The dirty pages before a transaction.
        enum Dirt: CaseIterable {
            case none
            /// All pages, recorded in the kernel only.
            case kernel
            /// Some pages, recorded in the table only, except in modes in which reading does not clear.
            case table
        }

        /// A VM, and two arrays whose difference needs every kind of call.
        private struct Scene {
            let guest: GuestVM
            let backend: RefusingBackend
            let table: MemslotTable
            let before: [Memslot]
            let after: [Memslot]
            let mode: DirtyLogMode

            init(_ mode: DirtyLogMode) throws {
                guest = try GuestVM(.real, options: KVMOptions(dirtyLog: mode))
                self.mode = mode
                let logging: MemslotFlags = .logDirtyPages
                before = [
                    guest.lowSlot,
                    try guest.slot(id: 1, first: 0, count: 4, flags: logging),
                    try guest.slot(id: 2, first: 4, count: 4, flags: logging),
                    try guest.slot(id: 3, first: 8, count: 4),
                    try guest.slot(id: 4, first: 12, count: 4, flags: logging),
                    Self.aside(try guest.slot(id: 5, first: 0, count: 16), 0x8000_0000),
                ]
                after = [
                    guest.lowSlot,
                    try guest.slot(id: 1, first: 0, count: 2, flags: logging),
                    Self.aside(before[2], 0x9000_0000),
                    try guest.slot(id: 3, first: 8, count: 4, flags: logging),
                    try guest.slot(id: 4, first: 12, count: 4),
                    Self.aside(try guest.slot(id: 6, first: 3, count: 3), 0xa000_0000),
                ]
                backend = RefusingBackend(guest.backend)
                table = try MemslotTable(backend: backend, installed: [guest.lowSlot])
                try table.submit(before)
            }

            private static func aside(_ slot: Memslot, _ address: UInt64) -> Memslot {
                var slot = slot
                slot.guestPhysicalAddress = GuestPhysicalAddress(address)
                return slot
            }

            /// Dirties pages. Returns the dirty pages that each slot must report afterwards, by id.
            func markDirty(_ dirt: Dirt) throws -> [UInt32: [Range<UInt64>]] {
                _ = try dirty(clear: true)
                guard dirt != .none else { return [1: [], 2: [], 4: []] }
                let round = guest.load(guest.program.rounds) + 1
                #expect(guest.isDone(try guest.run(toRound: round)))
                guard dirt == .table else { return [1: [0..<4], 2: [0..<4], 4: [0..<4]] }
                for id in [1, 2, 4] as [UInt32] {
                    let key = SlotKey(addressSpace: .main, id: SlotID(id))
                    _ = try table.dirtyLog(of: key, pages: 1..<3, clear: true)
                }
                return [1: [0..<1, 3..<4], 2: [0..<1, 3..<4], 4: [0..<1, 3..<4]]
            }

            func dirty(clear: Bool = false) throws -> [UInt32: [Range<UInt64>]] {
                var reported: [UInt32: [Range<UInt64>]] = [:]
                for slot in table.snapshot().array.slots where slot.isLogging {
                    reported[slot.assignedID.rawValue] =
                        try table.dirtyLog(of: slot, clear: clear).bitmap.runs
                }
                return reported
            }

            /// Whether exactly `slots` are installed in the kernel.
            func isInstalled(_ slots: [Memslot]) -> Bool {
                do throws(KVMError) {
                    _ = try KVMBackend(
                        adopting: guest.backend.vm, installed: slots,
                        options: KVMOptions(dirtyLog: mode))
                    return true
                } catch {
                    return false
                }
            }
        }

        @Test(
            "whichever call fails, the slots and the dirty pages are as before", arguments: modes,
            Dirt.allCases)
        func everyCall(mode: DirtyLogMode, dirt: Dirt) throws {
            let scene = try Scene(mode)
            let calls = try scene.table.plan(scene.after).operations.count
            #expect(calls == 7)
            for index in SlowMachine.sample(0..<calls) {
                let errno: Errno = index % 2 == 0 ? .outOfMemory : .ioError
                let wanted = try scene.markDirty(dirt)
                scene.backend.refuse(calls: [index], with: errno)
                guard case .rolledBack(let rollback) = scene.table.refusal(of: scene.after) else {
                    Issue.record("call \(index) was not rolled back")
                    continue
                }
                scene.backend.refuse()
                #expect(rollback.operation == index && rollback.errno == errno)
                #expect(scene.isInstalled(scene.before), "call \(index)")
                #expect(try scene.dirty() == wanted, "call \(index)")
                #expect(scene.table.snapshot().generation == Generation(1))
            }
            // Only the refusals made the submits fail.
            try scene.table.submit(scene.after)
            #expect(scene.isInstalled(scene.after))
            #expect(!scene.isInstalled(scene.before))
        }

        @Test("if a log cannot be read, slots and dirty pages are unchanged", arguments: modes)
        func logs(mode: DirtyLogMode) throws {
            let scene = try Scene(mode)
            for index in 0..<2 {
                let wanted = try scene.markDirty(.kernel)
                scene.backend.refuse(reads: [index], with: .ioError)
                guard case .rolledBack(let rollback) = scene.table.refusal(of: scene.after) else {
                    Issue.record("read \(index) was not rolled back")
                    continue
                }
                scene.backend.refuse()
                #expect(rollback.operation == nil && rollback.errno == .ioError)
                #expect(scene.isInstalled(scene.before))
                #expect(try scene.dirty() == wanted)
            }
        }

        @Test(
            "if an undo fails too, the reported slots are installed, and the table can be recovered",
            arguments: modes)
        func undo(mode: DirtyLogMode) throws {
            for failing in SlowMachine.sample(1..<7) {
                for undone in Set([0, failing - 1]) {
                    let scene = try Scene(mode)
                    let wanted = try scene.markDirty(.kernel)
                    // The call after the one that fails is the first of the undo.
                    scene.backend.refuse(calls: [failing, failing + 1 + undone])
                    guard case .failed(let failure) = scene.table.refusal(of: scene.after) else {
                        Issue.record("\(failing), \(undone): not failed")
                        continue
                    }
                    scene.backend.refuse()
                    #expect(failure.operation == failing)
                    #expect(scene.isInstalled(failure.installed), "\(failing), \(undone)")
                    #expect(!scene.isInstalled(scene.before))
                    try scene.table.recover()
                    #expect(scene.isInstalled(scene.before), "\(failing), \(undone)")
                    #expect(try scene.dirty() == wanted, "\(failing), \(undone)")
                    let round = scene.guest.load(scene.guest.program.rounds) + 1
                    #expect(scene.guest.isDone(try scene.guest.run(toRound: round)))
                }
            }
        }
    }
}
