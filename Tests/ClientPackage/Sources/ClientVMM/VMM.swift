import Foundation
import MemslotProtocol
import MemslotService
import Memslots
import Synchronization

/// A VMM as a user of the package writes it: its own slot calls, its own pause of vCPUs, an IOMMU
/// with a limit, and a control socket's service.
package final class VMM: Sendable {
    package let backend = OwnBackend()
    package let pause: PauseHold
    package let iommu: IOMMU
    package let table: MemslotTable
    package let service = MemslotService()

    /// - Parameters:
    ///   - iommuLimit: how many bytes the IOMMU maps.
    ///   - kick: makes every vCPU return from the guest soon.
    package init(iommuLimit: ByteCount, kick: @escaping @Sendable () -> Void) throws {
        pause = PauseHold(kick: kick)
        iommu = IOMMU(limit: iommuLimit, mapping: [])
        table = try MemslotTable(backend: backend, vcpus: pause)
        table.add(iommu)
    }

    /// Serves the VM under a name; returns the kind of the error if the name is refused.
    package func serve(as name: String) -> ErrorKind? {
        do throws(ProtocolError) {
            try service.register(table: table, as: name)
            return nil
        } catch {
            return error.kind
        }
    }
}

/// Applies slot calls to a dictionary, as a VMM with its own KVM wrapper applies them to a VM.
package final class OwnBackend: MemslotBackend {
    package let capabilities = Capabilities(maxSlots: 64)
    private let state = Mutex(State())

    private struct State {
        var slots: [SlotKey: Memslot] = [:]
        var dirty: [SlotKey: DirtyBitmap] = [:]
    }

    package var slots: [Memslot] { state.withLock { $0.slots.values.map { $0 } } }

    /// Marks a page of a slot dirty, as a write of the guest does.
    package func write(page: UInt64, of key: SlotKey) {
        state.withLock { $0.dirty[key]?.insert(page..<page + 1) }
    }

    package func beginTransaction() {}

    package func apply(_ call: SlotCall) throws(Errno) {
        try state.withLock { state throws(Errno) in
            if let before = call.before, state.slots[call.key] != before { throw .noEntry }
            state.slots[call.key] = call.after
            guard let after = call.after, after.isLogging else {
                state.dirty[call.key] = nil
                return
            }
            let empty = DirtyBitmap(pageCount: after.pageCount)
            state.dirty[call.key] = state.dirty[call.key] ?? empty
        }
    }

    package func collectDirtyPages() {}

    package func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try state.withLock { state throws(Errno) in
            guard let key = slot.key, let bits = state.dirty[key] else { throw .noEntry }
            if clear { state.dirty[key] = DirtyBitmap(pageCount: slot.pageCount) }
            return bits
        }
    }
}

/// Holds vCPUs out of the guest with the VMM's own pause.
package final class PauseHold: VCPUHold {
    private let kick: @Sendable () -> Void
    private let condition = NSCondition()
    // Unsafe: both are accessed with `condition` locked.
    nonisolated(unsafe) private var isPaused = false
    nonisolated(unsafe) private var running: Set<String> = []

    /// - Parameter kick: makes every vCPU return from the guest soon, also one that is about to
    ///   enter it. Must not wait.
    init(kick: @escaping @Sendable () -> Void) { self.kick = kick }

    /// Runs `guest` as the vCPU `name`. Waits first while vCPUs are held out.
    package func run(_ name: String, guest: () -> Void) {
        condition.withLock {
            while isPaused { condition.wait() }
            running.insert(name)
        }
        guest()
        condition.withLock {
            running.remove(name)
            condition.broadcast()
        }
    }

    package func beginHolding() {
        condition.withLock { isPaused = true }
        kick()
    }

    package func waitUntilHeld(by deadline: Deadline) -> [String] {
        condition.withLock {
            while !running.isEmpty, !deadline.hasPassed {
                if let remaining = deadline.remaining {
                    _ = condition.wait(until: Date(timeIntervalSinceNow: remaining / .seconds(1)))
                } else {
                    condition.wait()
                }
            }
            return running.sorted()
        }
    }

    package func exclusively(_ body: () -> Void) { body() }

    package func endHolding() {
        condition.withLock {
            isPaused = false
            condition.broadcast()
        }
    }
}

/// An IOMMU that maps a limited number of bytes. It vetoes memory past the limit.
package final class IOMMU: MemslotHook {
    package let name = "iommu"
    package let needsQuiescence = false
    private let limit: ByteCount
    private let mapped: Mutex<ByteCount>

    /// - Parameter slots: the slots that the table has already, which it does not pass to a hook.
    init(limit: ByteCount, mapping slots: [Memslot]) {
        self.limit = limit
        mapped = Mutex(ByteCount(slots.reduce(0) { $0 + $1.size.rawValue }))
    }

    package var mappedBytes: ByteCount { mapped.withLock { $0 } }

    package func prepare(_ change: MemslotChange) throws(HookVeto) {
        try mapped.withLock { mapped throws(HookVeto) in
            switch change {
            case .removed(let slot): mapped.rawValue -= slot.size.rawValue
            case .added(let slot):
                let sum = ByteCount(mapped.rawValue + slot.size.rawValue)
                guard sum <= limit else { throw HookVeto("the IOMMU is full") }
                mapped = sum
            default: break
            }
        }
    }

    package func commit(_ change: MemslotChange) {}

    package func finish(_ change: MemslotChange) {}

    package func abort(_ change: MemslotChange) {
        mapped.withLock { mapped in
            switch change {
            case .removed(let slot): mapped.rawValue += slot.size.rawValue
            case .added(let slot): mapped.rawValue -= slot.size.rawValue
            default: break
            }
        }
    }
}

/// A device that copies guest memory. One thread at a time uses it.
package final class Device {
    private let reader: TableReader

    package init(of table: MemslotTable) { reader = table.makeReader(as: "device") }

    /// The address in this process of a guest address; `nil` if no slot maps it.
    package func translate(_ address: GuestPhysicalAddress) -> UserspaceAddress? {
        reader.read { view in view.translate(address)?.userspaceAddress }
    }
}

/// Changes the memory of a VM from tasks. Its `await`s do not block a thread of the task pool.
package actor MemoryController {
    private let table: MemslotTable

    package init(_ table: MemslotTable) { self.table = table }

    /// Adds `slot` unless another task changes the table meanwhile.
    package func plug(_ slot: Memslot) async throws(SubmitError) -> Receipt {
        let now = table.snapshot()
        return try await table.submit(
            now.array.slots + [slot], options: SubmitOptions(expectedGeneration: now.generation))
    }
}
