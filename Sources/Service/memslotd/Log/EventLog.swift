import Logging
import MemslotService
import Memslots

/// Logs what happens to tables, connections and the state directory, one line an event.
struct EventLog: Sendable {
    let log: Logger

    private func log(
        _ level: Logger.Level, _ message: Logger.Message,
        _ details: @autoclosure () -> [String: any CustomStringConvertible] = [:]
    ) {
        log.log(level: level, message, metadata: details().mapValues { "\($0)" })
    }

    func record(_ event: TableEvent, vm: String, user: UInt32) {
        // The watchdog's own commits are of no interest.
        guard user != Watchdog.user else { return }
        func log(
            _ level: Logger.Level, _ message: Logger.Message,
            _ more: [String: any CustomStringConvertible]
        ) {
            self.log(level, message, more.merging(["vm": vm, "user": user]) { own, _ in own })
        }
        switch event {
        case .committed(let receipt, _, _): log(.info, "committed", Self.figures(of: receipt))
        case .retired(let generation): log(.info, "retired", ["generation": generation])
        case .rolledBack(let rollback, let generation):
            log(
                .warning, "rolled back",
                [
                    "generation": generation, "errno": rollback.errno,
                    "operation": rollback.operation.map(String.init) ?? "none",
                ])
        case .failed(let failure, let generation):
            log(
                .error, "the undo failed: vCPUs are held until vm.recover",
                ["generation": generation, "errno": failure.undoErrno])
        case .recovered(let generation): log(.notice, "recovered", ["generation": generation])
        }
    }

    private static func figures(of receipt: Receipt) -> [String: any CustomStringConvertible] {
        [
            "generation": receipt.generation, "operations": receipt.operations.count,
            "added": receipt.diff.added.count, "removed": receipt.diff.removed.count,
            "moved": receipt.diff.moved.count, "reflagged": receipt.diff.reflagged.count,
            "blackoutNs": receipt.durations.nanoseconds.blackout,
            "totalNs": receipt.durations.nanoseconds.total, "retired": receipt.retired,
        ]
    }

    func record(_ event: ServerEvent) {
        switch event {
        case .listening(let path):
            log(.notice, "listening", ["socket": path ?? "passed by systemd"])
        case .connected(let peer, let process):
            log(.debug, "connected", details(of: peer).merging(["pid": process]) { $1 })
        case .disconnected(let peer): log(.debug, "disconnected", details(of: peer))
        case .refused(let user, let reason):
            log(
                .warning, "connection refused",
                ["user": user.map { "\($0)" } ?? "unknown", "reason": reason])
        case .cannotAccept(let errno): log(.error, "can't accept connections", ["errno": errno])
        case .stopping: log(.notice, "stopping: new requests are refused")
        case .stopped(true): log(.notice, "stopped")
        case .stopped(false):
            log(.warning, "stopped; connections that did not end in time were closed")
        }
    }

    private func details(of peer: Peer) -> [String: any CustomStringConvertible] {
        ["user": peer.user, "role": peer.role.rawValue, "connection": peer.connection]
    }

    func record(_ event: StateEvent) {
        switch event {
        case .restored(let vm, let user, let generation, let slots):
            log(
                .notice, "restored",
                ["vm": vm, "user": user, "generation": generation, "slots": slots])
        case .unrestored(let vm, let user, let file, let reason):
            log(
                .error, "a VM can't be restored; its record stays",
                ["vm": vm, "user": user, "file": file, "reason": reason])
        case .damaged(let file, let setAside, let reason):
            log(
                .error, "the record of a VM is damaged",
                ["file": file, "setAside": setAside ?? "no", "reason": reason])
        case .orphan(let file, let record):
            log(
                .warning,
                "kept guest memory whose VM has no valid record: restore that, or remove it",
                ["file": file, "record": record])
        case .unfinished(let file): log(.notice, "removed an unfinished file", ["file": file])
        case .unwritten(let vm, let user, let errno):
            log(
                .error, "request refused: the state directory can't be written",
                ["vm": vm, "user": user, "errno": errno])
        case .ahead(let vm, let user, let file, let errno):
            log(
                .critical, "the record of a VM contains a refused change, which can't be undone",
                ["vm": vm, "user": user, "file": file, "errno": errno])
        case .unremoved(let file, let errno):
            log(.warning, "a file can't be removed", ["file": file, "errno": errno])
        }
    }
}
