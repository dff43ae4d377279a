import Foundation

/// What a test waited for in vain.
package struct NeverCame: Error, CustomStringConvertible {
    package let description: String
}

/// Waits until `condition` holds, which it asks for again and again; two minutes at most, so that a
/// test whose expectation is wrong fails and does not hang.
///
/// - Throws: ``NeverCame`` with `what`.
package func waitUntil(
    _ what: String, every microseconds: UInt32 = 1_000,
    _ condition: () throws -> Bool
) throws {
    let limit = ContinuousClock.now + .seconds(120)
    while try !condition() {
        guard ContinuousClock.now < limit else {
            throw NeverCame(description: "this did not come in two minutes: \(what)")
        }
        usleep(microseconds)
    }
}
