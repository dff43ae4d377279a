import Testing

@testable import Memslots

/// Calls before a hold and after it, and what their failure leaves.
@Suite("a submit that promises continuity alone")
struct ContinuityTests {
    /// A hold that records its calls beside those of the backend.
    private final class RecordingHold: VCPUHold {
        let log: Shared<[String]>
        /// The waits that time out, by number.
        let stubborn = Shared<Set<Int>>([])
        private let waits = Shared(0)

        init(_ log: Shared<[String]>) { self.log = log }

        func beginHolding() { log.update { $0.append("hold") } }
        func waitUntilHeld(by deadline: Deadline) -> [String] {
            let number = waits.value
            waits.update { $0 += 1 }
            return stubborn.value.contains(number) ? ["v"] : []
        }
        func exclusively(_ body: () -> Void) {
            log.update { $0.append("[") }
            body()
            log.update { $0.append("]") }
        }
        func endHolding() { log.update { $0.append("release") } }
    }

    private final class Hook: MemslotHook {
        let name = "hook"
        let needsQuiescence: Bool
        let log: Shared<[String]>

        init(_ log: Shared<[String]>, needs: Bool) { (self.log, needsQuiescence) = (log, needs) }

        func prepare(_ change: MemslotChange) throws(HookVeto) {}
        func commit(_ change: MemslotChange) { log.update { $0.append("commit \(change.key)") } }
        func finish(_ change: MemslotChange) {}
        func abort(_ change: MemslotChange) { log.update { $0.append("abort \(change.key)") } }
    }

    private let log = Shared<[String]>([])
    private let hold: RecordingHold
    private let backend: ModelBackend
    private let table: MemslotTable

    /// Slot 0 stays with its log, 1 ends its log, 2 is split with the same host pages, 3 goes.
    private static let old = [
        slot(0, at: 0, pages: 4, flags: .logDirtyPages),
        slot(1, at: 10, pages: 4, host: 0x500, flags: .logDirtyPages),
        slot(2, at: 20, pages: 4, host: 0x600), slot(3, at: 30, pages: 4),
        slot(4, at: 40, pages: 4),
    ]
    /// 6 is new; 7 is new and logs.
    private static let new = [
        old[0], old[1].with([]), slot(2, at: 20, pages: 2, host: 0x600),
        slot(5, at: 22, pages: 2, host: 0x602), slot(6, at: 50, pages: 2),
        slot(7, at: 60, pages: 2, host: 0x502, flags: .logDirtyPages),
    ]

    init() throws {
        hold = RecordingHold(log)
        backend = ModelBackend(Self.old)
        table = try MemslotTable(backend: backend, installed: Self.old, vcpus: hold)
        let log = log
        backend.state.withLock { $0.beforeCall = { index in log.update { $0.append("\(index)") } } }
    }

    private let options = SubmitOptions(quiesce: .continuity)

    private func submit() -> SubmitError? { table.refusal(of: Self.new, options: options) }

    @Test("makes creates before the hold and deletes after it, and commits then")
    func order() throws {
        table.add(Hook(log, needs: false))
        let planned = try table.plan(Self.new, options: options)
        let receipt = try table.submit(Self.new, options: options)
        #expect(receipt.holdReason == .overlap && receipt.quiesced)
        #expect(planned.operations == receipt.operations && planned.holdReason == .overlap)
        #expect(receipt.operations.map(\.call) == backend.calls)
        #expect(
            receipt.operations.map { "\($0.call.name) \($0.call.key)" } == [
                "create 6", "delete 2", "create 2", "create 5", "create 7", "reflag 1", "delete 3",
                "delete 4",
            ])
        #expect(
            log.value == ["0", "hold", "[", "1", "2", "3", "4", "5", "]", "release", "6", "7"]
                + receipt.operations.map { "commit \($0.call.key)" })
        #expect(backend.illegal.isEmpty && backend.slots == Self.new.byKey)
        #expect(receipt.durations.nanoseconds.apply > 0)
    }

    @Test("holds all of it for a hook that needs the hold, or if a page that stays changes")
    func whole() throws {
        table.add(Hook(log, needs: true))
        let receipt = try table.plan(Self.new, options: options)
        #expect(receipt.operations.first?.call.name == "delete" && receipt.holdReason == .overlap)
    }

    @Test("that times out deletes the additions again before vCPUs are released")
    func timedOut() throws {
        hold.stubborn.update { $0 = [0] }
        #expect(submit() == .quiesceTimeout(vcpus: ["v"], readers: []))
        #expect(log.value == ["0", "hold", "1", "release"])
        #expect(backend.slots == Self.old)
        #expect(table.failure == nil && table.snapshot().generation == Generation(0))
        #expect(submit() == nil)
    }

    @Test("whose additions can't be deleted again after a timeout has failed, with vCPUs held")
    func stuckHead() throws {
        hold.stubborn.update { $0 = [0] }
        backend.refuse(at: 1, with: .ioError)
        guard case .failed(let failure)? = submit() else { return #expect(Bool(false)) }
        #expect(failure.errno == .timedOut && failure.operation == nil && failure.vcpus == ["v"])
        #expect(failure.message.contains("the hold timed out"))
        #expect(failure.undoErrno == .ioError && failure.installed == backend.slots)
        #expect(log.value == ["0", "hold", "1"])
        backend.refuse()
        try table.recover()
        #expect(backend.slots == Self.old)
    }

    @Test("whose tail fails holds vCPUs again and undoes all, with every page written meanwhile")
    func tailFails() throws {
        backend.write([1], to: Self.old[1].assignedKey)
        backend.refuse(at: 7)
        let log = log
        backend.state.withLock {
            $0.beforeCall = { [weak backend] index in
                log.update { $0.append("\(index)") }
                // By the new slot, whose log goes again; its host pages are slot 1's last two.
                if index == 6 { backend?.write([0], to: SlotKey(id: 7)) }
                // By slot 0, whose log has stayed.
                if index == 6 { backend?.write([3], to: SlotKey(id: 0)) }
            }
        }
        guard case .rolledBack(let rollback)? = submit() else { return #expect(Bool(false)) }
        #expect(rollback.operation == 7 && rollback.call?.name == "delete")
        #expect(
            log.value == [
                "0", "hold", "[", "1", "2", "3", "4", "5", "]", "release", "6", "7", "hold", "[",
                "8", "9", "10", "11", "12", "13", "14", "]", "release",
            ])
        #expect(backend.slots == Self.old && backend.illegal.isEmpty)
        let pages = try table.dirtyPages()
        // Slot 1 did not log while the guest ran: all of it may be written.
        #expect(pages[SlotKey(id: 1)] == [0, 1, 2, 3])
        #expect(pages[SlotKey(id: 0)] == [3])
    }

    @Test("with a new log in the hold: an undo after it returns what was written there")
    func logOfTheMiddle() throws {
        // Slot 0 logs the same host pages as the slot that begins to log.
        let old = [
            slot(0, at: 0, pages: 4, host: 0x900, flags: .logDirtyPages),
            slot(1, at: 10, pages: 4, host: 0x500), slot(2, at: 30, pages: 1),
        ]
        let new = [
            old[0], slot(1, at: 10, pages: 2, host: 0x500),
            slot(3, at: 60, pages: 2, host: 0x902, flags: .logDirtyPages),
        ]
        let log = Shared<[String]>([])
        let hold = RecordingHold(log)
        let backend = ModelBackend(old)
        let table = try MemslotTable(backend: backend, installed: old, vcpus: hold)
        backend.refuse(at: 3)
        backend.state.withLock { state in
            state.beforeCall = { [weak backend] index in
                if index == 3 { backend?.write([1], to: SlotKey(id: 3)) }
            }
        }
        guard case .rolledBack? = table.refusal(of: new, options: options) else {
            return #expect(Bool(false))
        }
        #expect(backend.slots == old)
        #expect(try table.dirtyPages() == [SlotKey(id: 0): [3]])
    }

    @Test("that can't hold vCPUs again after its tail has failed has failed; a recovery undoes it")
    func heldOnce() throws {
        backend.write([1], to: Self.old[1].assignedKey)
        hold.stubborn.update { $0 = [1] }
        backend.refuse(at: 7)
        guard case .failed(let failure)? = submit() else { return #expect(Bool(false)) }
        #expect(failure.errno == .outOfMemory && failure.operation == 7)
        #expect(failure.undoErrno == .timedOut && failure.installed == backend.slots)
        #expect(failure.vcpus == ["v"] && failure.message.contains("vCPU v did not leave"))
        #expect(Array(log.value.suffix(2)) == ["7", "hold"])
        backend.refuse()
        // What the guest writes before it leaves, by a log that began in the hold.
        backend.write([1], to: SlotKey(id: 7))
        try table.recover()
        #expect(backend.slots == Self.old)
        #expect(try table.dirtyPages()[SlotKey(id: 1)] == [0, 1, 2, 3])
    }

    @Test("keeps what the guest wrote to a log of the hold, if the undo fails in the second hold")
    func undoFails() throws {
        var capabilities = wideCapabilities
        capabilities.dirtyLogStartsFull = true
        let backend = ModelBackend(Self.old, capabilities: capabilities, keepsBitsWhenRead: true)
        let table = try MemslotTable(backend: backend, installed: Self.old, vcpus: hold)
        // The second tail call, and then the first undo.
        backend.refuse(at: 7, 8)
        guard case .failed? = table.refusal(of: Self.new, options: options) else {
            return #expect(Bool(false))
        }
        // The log of slot 7 is as full as the kernel began it: the guest has run since.
        let seven = try #require(Self.new.last)
        #expect(try backend.readDirtyLog(of: seven, clear: false).count == 2)
    }
}
