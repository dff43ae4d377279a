import Logging
import MemslotService
import Memslots

/// Writes what happens to the log: one line a commit, one a connection.
struct LoggingObserver: ServiceObserver {
    let log: Logger

    func note(_ event: TableEvent, vm: String, user: UInt32) {
        // The watchdog's own commits say something only where they stop.
        guard user != Watchdog.nobody else { return }
        let whose: Logger.Metadata = ["vm": "\(vm)", "user": "\(user)"]
        switch event {
        case .committed(let receipt, _, _):
            log.info(
                "committed", metadata: whose.merging(Self.figures(of: receipt)) { _, new in new })
        case .retired(let generation):
            log.info(
                "retired",
                metadata: whose.merging(["generation": "\(generation)"]) { _, new in new })
        case .rolledBack(let rollback, let generation):
            log.warning(
                "rolled back",
                metadata: whose.merging([
                    "generation": "\(generation)", "errno": "\(rollback.errno)",
                    "operation": "\(rollback.operation.map(String.init) ?? "none")",
                ]) { _, new in new })
        case .failed(let failure, let generation):
            log.error(
                "the undo failed: vCPUs stay out of the guest until vm.recover",
                metadata: whose.merging([
                    "generation": "\(generation)", "errno": "\(failure.undoErrno)",
                ]) { _, new in new })
        case .recovered(let generation):
            log.notice(
                "recovered",
                metadata: whose.merging(["generation": "\(generation)"]) { _, new in new })
        }
    }

    private static func figures(of receipt: Receipt) -> Logger.Metadata {
        [
            "generation": "\(receipt.generation)",
            "operations": "\(receipt.operations.count)",
            "added": "\(receipt.diff.added.count)",
            "removed": "\(receipt.diff.removed.count)",
            "moved": "\(receipt.diff.moved.count)",
            "reflagged": "\(receipt.diff.reflagged.count)",
            "blackoutNs": "\(receipt.durations.nanoseconds.blackout)",
            "totalNs": "\(receipt.durations.nanoseconds.total)",
            "retired": "\(receipt.retired)",
        ]
    }

    func note(_ event: ServerEvent) {
        switch event {
        case .listening(let path):
            log.notice("listening", metadata: ["socket": "\(path ?? "handed over")"])
        case .connected(let peer, let process):
            log.debug("connected", metadata: Self.who(peer, ["pid": "\(process)"]))
        case .disconnected(let peer): log.debug("disconnected", metadata: Self.who(peer))
        case .refused(let user, let reason):
            log.warning(
                "connection refused",
                metadata: ["user": "\(user.map(String.init) ?? "unknown")", "reason": "\(reason)"])
        case .cannotAccept(let errno):
            log.error("can't accept connections", metadata: ["errno": "\(errno)"])
        case .stopping: log.notice("stopping: no more requests are taken")
        case .stopped(true): log.notice("stopped")
        case .stopped(false): log.warning("stopped; connections that did not end were cut")
        }
    }

    private static func who(_ peer: Peer, _ more: Logger.Metadata = [:]) -> Logger.Metadata {
        [
            "user": "\(peer.user)", "role": "\(peer.role.rawValue)",
            "connection": "\(peer.connection)",
        ].merging(more) { _, new in new }
    }
}
