import MemslotKVM
import MemslotProtocol
import MemslotScenario

/// Looks for the shortest sequence of calls that still differs, by leaving calls out.
///
/// Larger parts first, then smaller ones, down to single calls, until none can be left out
/// (Zeller's delta debugging).
struct Shrinking {
    /// How often it may still try.
    private var tries: Int

    init(tries: Int) { self.tries = tries }

    /// The shortest sequence found.
    ///
    /// - Parameter differs: carries calls out from a fresh start, and tells what differs.
    mutating func shortest(
        _ difference: Difference, _ differs: ([RawCall]) throws(KVMError) -> Difference?
    ) throws(KVMError) -> Difference {
        var best = difference
        var part = max(1, best.lines.count / 2)
        while true {
            let before = best.lines.count
            try leaveOut(part, of: &best, differs)
            if part > 1 {
                part = max(1, part / 2)
            } else if best.lines.count == before || tries <= 0 {
                return best
            }
        }
    }

    /// Leaves out each part of `length` calls that can be left out, from the end.
    private mutating func leaveOut(
        _ length: Int, of best: inout Difference,
        _ differs: ([RawCall]) throws(KVMError) -> Difference?
    ) throws(KVMError) {
        var end = best.lines.count
        while end > 0, tries > 0 {
            let start = max(0, end - length)
            var calls = best.lines.map(\.call)
            calls.removeSubrange(start..<end)
            tries -= 1
            if let found = try differs(calls), found.lines.count < best.lines.count {
                best = found
            }
            end = min(start, best.lines.count)
        }
    }
}
