/// How much is measured.
package enum Effort: Sendable {
    /// Enough for figures that can be told.
    case full
    /// Just enough to see that each benchmark works.
    case quick

    /// `full` or `quick`, whichever this is.
    func callAsFunction<Value>(_ full: Value, quick: Value) -> Value {
        switch self {
        case .full: full
        case .quick: quick
        }
    }
}
