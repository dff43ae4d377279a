import Dispatch
import Memslots

/// A hold without vCPUs: checks the order of its calls, and can simulate a vCPU that stays.
final class ScriptedHold: VCPUHold {
    private struct State {
        var isHeld = false
        var isExclusive = false
        /// The wait in which a vCPU stays inside.
        var stubbornWait: Int?
        var waits = 0
        /// Whether a vCPU is known to be inside: the last wait timed out.
        var isInside = false
        var faults: [String] = []
    }

    private let state = Locked(State())

    static let vcpu = "vcpu that does not leave"

    /// Sets whether a vCPU is inside that does not leave in the wait `number` from now on.
    func keepInside(_ stays: Bool, in number: Int = 0) {
        state.withLock { ($0.stubbornWait, $0.waits) = (stays ? number : nil, 0) }
    }

    /// Whether a vCPU could be in the guest now.
    var guestMayRun: Bool {
        state.withLock { !$0.isExclusive && !$0.isInside }
    }

    /// Whether vCPUs are held or requested to leave.
    var isHeld: Bool { state.withLock { $0.isHeld } }

    /// The calls in a wrong order so far.
    var faults: [String] { state.withLock { $0.faults } }

    func beginHolding() { state.withLock { $0.isHeld = true } }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        state.withLock { state in
            if !state.isHeld { state.faults.append("waited for vCPUs before beginHolding()") }
            state.isInside = state.waits == state.stubbornWait
            state.waits += 1
            return state.isInside ? [Self.vcpu] : []
        }
    }

    func exclusively(_ body: () -> Void) {
        state.withLock { state in
            if !state.isHeld || state.isInside { state.faults.append("exclusive beside a vCPU") }
            state.isExclusive = true
        }
        body()
        state.withLock { $0.isExclusive = false }
    }

    func endHolding() {
        state.withLock { state in
            if !state.isHeld { state.faults.append("vCPUs released twice") }
            if state.isExclusive { state.faults.append("vCPUs released too early") }
            (state.isHeld, state.isInside) = (false, false)
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
