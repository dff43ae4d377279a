import Dispatch
package import Memslots

/// A hold on vCPUs that are not there: it writes down what is asked of it, and can play a vCPU
/// that does not leave.
package final class ScriptedHold: VCPUHold {
    private struct State {
        var isHeld = false
        var isExclusive = false
        var stays = false
        var waits = 0
        var faults: [String] = []
    }

    private let state = Locked(State())

    /// Nobody is in the guest.
    package init() {}

    /// The name of the vCPU that stays.
    package static let vcpu = "vcpu that stays"

    /// Whether a vCPU is inside that does not leave, from now on.
    package func keepInside(_ stays: Bool) {
        state.withLock { ($0.stays, $0.waits) = (stays, 0) }
    }

    /// Whether a vCPU could be in the guest now.
    package var guestMayRun: Bool {
        // One that never leaves was waited for in vain, and is known to be inside.
        state.withLock { !$0.isExclusive && !($0.stays && $0.waits > 0) }
    }

    /// Whether vCPUs are kept out, or asked to stay out.
    package var isHeld: Bool { state.withLock { $0.isHeld } }

    /// What was asked in a wrong order, so far.
    package var faults: [String] { state.withLock { $0.faults } }

    package func begin() { state.withLock { $0.isHeld = true } }

    package func waitUntilHeld(by deadline: Deadline) -> [String] {
        state.withLock { state in
            if !state.isHeld { state.faults.append("waited for vCPUs that nobody asked to leave") }
            state.waits += 1
            return state.stays ? [Self.vcpu] : []
        }
    }

    package func exclusively(_ body: () -> Void) {
        state.withLock { state in
            if !state.isHeld || state.stays { state.faults.append("exclusive beside a vCPU") }
            state.isExclusive = true
        }
        body()
        state.withLock { $0.isExclusive = false }
    }

    package func end() {
        state.withLock { state in
            if !state.isHeld { state.faults.append("vCPUs let in twice") }
            if state.isExclusive { state.faults.append("vCPUs let in too early") }
            state.isHeld = false
        }
    }
}

/// A reader on a thread of its own that stays while something else is done.
enum StayingReader {
    static let name = "reader that stays"

    static func stay<R>(in table: MemslotTable, while body: () -> R) -> R {
        let isInside = DispatchSemaphore(value: 0)
        let mayLeave = DispatchSemaphore(value: 0)
        let group = DispatchGroup()
        // A thread of the pool waits, but nothing else that is waited for needs the pool.
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
