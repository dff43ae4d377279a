import Logging
import MemslotService
import Memslots

/// Logs what happens to tables, connections and the state directory, one line an event.
struct EventLog: Sendable {
    let log: Logger

    func record(_ event: TableEvent, vm: String, user: UInt32) {
        // The watchdog's own commits are of no interest.
        guard user != Watchdog.user else { return }
        func log(_ level: Logger.Level, _ message: Logger.Message, _ more: Logger.Metadata) {
            let all = more.merging(["vm": "\(vm)", "user": "\(user)"]) { own, _ in own }
            self.log.log(level: level, message, metadata: all)
        }
        switch event {
        case .committed(let receipt, _, _): log(.info, "committed", Self.figures(of: receipt))
        case .retired(let generation): log(.info, "retired", ["generation": "\(generation)"])
        case .rolledBack(let rollback, let generation):
            log(
                .warning, "rolled back",
                [
                    "generation": "\(generation)", "errno": "\(rollback.errno)",
                    "operation": "\(rollback.operation.map(String.init) ?? "none")",
                ])
        case .failed(let failure, let generation):
            log(
                .error, "the undo failed: vCPUs are held until vm.recover",
                ["generation": "\(generation)", "errno": "\(failure.undoErrno)"])
        case .recovered(let generation):
            log(.notice, "recovered", ["generation": "\(generation)"])
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

    func record(_ event: ServerEvent) {
        switch event {
        case .listening(let path):
            log.notice("listening", metadata: ["socket": "\(path ?? "passed by systemd")"])
        case .connected(let peer, let process):
            log.debug("connected", metadata: Self.metadata(of: peer, ["pid": "\(process)"]))
        case .disconnected(let peer): log.debug("disconnected", metadata: Self.metadata(of: peer))
        case .refused(let user, let reason):
            log.warning(
                "connection refused",
                metadata: ["user": "\(user.map(String.init) ?? "unknown")", "reason": "\(reason)"])
        case .cannotAccept(let errno):
            log.error("can't accept connections", metadata: ["errno": "\(errno)"])
        case .stopping: log.notice("stopping: new requests are refused")
        case .stopped(true): log.notice("stopped")
        case .stopped(false):
            log.warning("stopped; connections that did not end in time were closed")
        }
    }

    private static func metadata(
        of peer: Peer, _ more: Logger.Metadata = [:]
    ) -> Logger.Metadata {
        [
            "user": "\(peer.user)", "role": "\(peer.role.rawValue)",
            "connection": "\(peer.connection)",
        ].merging(more) { _, new in new }
    }

    func record(_ event: StateEvent) {
        switch event {
        case .restored(let vm, let user, let generation, let slots):
            log.notice(
                "restored",
                metadata: [
                    "vm": "\(vm)", "user": "\(user)", "generation": "\(generation)",
                    "slots": "\(slots)",
                ])
        case .unrestored(let vm, let user, let file, let reason):
            log.error(
                "a VM can't be restored; its record stays",
                metadata: [
                    "vm": "\(vm)", "user": "\(user)", "file": "\(file)", "reason": "\(reason)",
                ])
        case .damaged(let file, let setAside, let reason):
            log.error(
                "the record of a VM is damaged",
                metadata: [
                    "file": "\(file)", "setAside": "\(setAside ?? "no")", "reason": "\(reason)",
                ])
        case .unfinished(let file):
            log.notice("removed an unfinished file", metadata: ["file": "\(file)"])
        case .unwritten(let vm, let user, let errno):
            log.error(
                "request refused: the state directory can't be written",
                metadata: ["vm": "\(vm)", "user": "\(user)", "errno": "\(errno)"])
        case .ahead(let vm, let user, let file, let errno):
            log.critical(
                "the record of a VM contains a refused change, which can't be undone",
                metadata: [
                    "vm": "\(vm)", "user": "\(user)", "file": "\(file)", "errno": "\(errno)",
                ])
        case .unremoved(let file, let errno):
            log.warning(
                "a file can't be removed", metadata: ["file": "\(file)", "errno": "\(errno)"])
        }
    }
}
