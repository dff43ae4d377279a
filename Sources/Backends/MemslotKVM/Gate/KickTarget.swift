import Memslots

/// A vCPU's kick, for as long as its shared page may be touched.
///
/// A drain copies the kicks before it uses them, so one may come after its vCPU has left the gate.
final class KickTarget: Sendable {
    private let monitor = Monitor()
    // Guarded by `monitor`.
    nonisolated(unsafe) private var kick: VCPUKick?

    init(_ kick: VCPUKick) { self.kick = kick }

    /// Asks the vCPU to come out, unless it is gone.
    func kick(_ request: KickRequests) {
        monitor.withLock { kick?.kick(request) }
    }

    /// Waits for a kick that is under way; then there are no more.
    func retire() {
        monitor.withLock { kick = nil }
    }
}
