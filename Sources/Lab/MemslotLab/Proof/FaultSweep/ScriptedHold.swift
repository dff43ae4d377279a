import Dispatch
import Memslots

/// A hold without vCPUs: it checks the order of its calls and can simulate a vCPU that does not
/// leave.
final class ScriptedHold: VCPUHold {
    private struct State {
        var isHeld = false
        var isExclusive = false
        var stays = false
        var waits = 0
        var faults: [String] = []
    }

    private let state = Locked(State())

    static let vcpu = "vcpu that does not leave"

    /// Sets whether a vCPU is inside that does not leave.
    func keepInside(_ stays: Bool) {
        state.withLock { ($0.stays, $0.waits) = (stays, 0) }
    }

    /// Whether a vCPU could be in the guest now.
    var guestMayRun: Bool {
        // After a wait that timed out, the vCPU is known to be inside.
        state.withLock { !$0.isExclusive && !($0.stays && $0.waits > 0) }
    }

    /// Whether vCPUs are held or requested to leave.
    var isHeld: Bool { state.withLock { $0.isHeld } }

    /// The calls in a wrong order so far.
    var faults: [String] { state.withLock { $0.faults } }

    func beginHolding() { state.withLock { $0.isHeld = true } }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        state.withLock { state in
            if !state.isHeld { state.faults.append("waited for vCPUs before beginHolding()") }
            state.waits += 1
            return state.stays ? [Self.vcpu] : []
        }
    }

    func exclusively(_ body: () -> Void) {
        state.withLock { state in
            if !state.isHeld || state.stays { state.faults.append("exclusive beside a vCPU") }
            state.isExclusive = true
        }
        body()
        state.withLock { $0.isExclusive = false }
    }

    func endHolding() {
        state.withLock { state in
            if !state.isHeld { state.faults.append("vCPUs released twice") }
            if state.isExclusive { state.faults.append("vCPUs released too early") }
            state.isHeld = false
        }
    }
}

/// A reader on another thread that stays inside the table while `body` runs.
enum BlockingReader {
    static let name = "reader that does not leave"

    static func block<R>(_ table: MemslotTable, while body: () -> R) -> R {
        let isInside = DispatchSemaphore(value: 0)
        let mayLeave = DispatchSemaphore(value: 0)
        let group = DispatchGroup()
        // It blocks a thread of the pool, but nothing that it waits for needs the pool.
        DispatchQueue(label: "memslots.proof.reader").async(group: group) {
            table.read(as: name) { _ in
                isInside.signal()
                mayLeave.wait()
            }
        }
        isInside.wait()
        defer {
            mayLeave.signal()
            group.wait()
        }
        return body()
    }
}
