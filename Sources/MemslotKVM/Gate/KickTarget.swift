import Synchronization

/// A vCPU's kick, for as long as its shared page may be touched.
///
/// A drain copies the kicks before it uses them, so one may come after its vCPU has left the gate.
final class KickTarget: Sendable {
    private let kick: Mutex<VCPUKick?>

    init(_ kick: VCPUKick) { self.kick = Mutex(kick) }

    /// Asks the vCPU to come out, unless it is gone.
    func kick(_ request: KickRequests) {
        kick.withLock { $0?.kick(request) }
    }

    /// Waits for a kick that is under way; then there are no more.
    func retire() {
        kick.withLock { $0 = nil }
    }
}
