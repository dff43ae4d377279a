import Dispatch
import Memslots

/// A hold without vCPUs: checks the order of its calls, and can simulate a vCPU that stays.
// Sendable: one thread submits at a time, and reads the state between submits.
final class ScriptedHold: VCPUHold, @unchecked Sendable {
    /// Whether vCPUs are held or requested to leave.
    private(set) var isHeld = false
    private var isExclusive = false
    /// The wait in which a vCPU stays inside.
    private var stubbornWait: Int?
    private var waits = 0
    /// Whether a vCPU is known to be inside: the last wait timed out.
    private var isInside = false
    /// The calls in a wrong order so far.
    private(set) var faults: [String] = []

    static let vcpu = "vcpu that does not leave"

    /// Sets whether a vCPU is inside that does not leave in the wait `number` from now on.
    func keepInside(_ stays: Bool, in number: Int = 0) {
        (stubbornWait, waits) = (stays ? number : nil, 0)
    }

    /// Whether a vCPU could be in the guest now.
    var guestMayRun: Bool { !isExclusive && !isInside }

    func beginHolding() { isHeld = true }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        if !isHeld { faults.append("waited for vCPUs before beginHolding()") }
        isInside = waits == stubbornWait
        waits += 1
        return isInside ? [Self.vcpu] : []
    }

    func exclusively(_ body: () -> Void) {
        if !isHeld || isInside { faults.append("exclusive beside a vCPU") }
        isExclusive = true
        body()
        isExclusive = false
    }

    func endHolding() {
        if !isHeld { faults.append("vCPUs released twice") }
        if isExclusive { faults.append("vCPUs released too early") }
        (isHeld, isInside) = (false, false)
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
