import Foundation

/// A machine on which a call takes a hundred times as long, such as an emulated processor.
///
/// `MEMSLOTS_SLOW_MACHINE=4` leaves one in four places of tests that visit each place of a plan, and
/// probe every slot id of a VM after it. No test is timed, so nothing else depends on the machine.
enum SlowMachine {
    static let divisor =
        ProcessInfo.processInfo.environment["MEMSLOTS_SLOW_MACHINE"].flatMap(Int.init) ?? 1

    /// Every ``divisor``-th of `places`, from the first.
    static func sample(_ places: Range<Int>) -> [Int] {
        Array(stride(from: places.lowerBound, to: places.upperBound, by: max(1, divisor)))
    }
}
