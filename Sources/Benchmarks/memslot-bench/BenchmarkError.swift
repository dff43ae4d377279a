/// Why a benchmark gave no figures.
package enum BenchmarkError: Error, Hashable, Sendable {
    /// What it needs isn't here, such as `/dev/kvm`: passed over, and told.
    case unavailable(String)
    /// Something gave a wrong result or failed: the run is no good.
    case broken(String)
}
