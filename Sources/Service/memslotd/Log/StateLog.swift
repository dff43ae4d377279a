import Logging
import MemslotService

/// Writes to the log what is found in the state.
struct StateLog: Sendable {
    let log: Logger

    func note(_ note: StateNote) {
        switch note {
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
            log.notice("removed what was not finished", metadata: ["file": "\(file)"])
        case .unwritten(let vm, let user, let errno):
            log.error(
                "refused: the state can't be written",
                metadata: ["vm": "\(vm)", "user": "\(user)", "errno": "\(errno)"])
        case .ahead(let vm, let user, let file, let errno):
            log.critical(
                "the state has what was refused, and it can't be taken back",
                metadata: [
                    "vm": "\(vm)", "user": "\(user)", "file": "\(file)", "errno": "\(errno)",
                ])
        case .unremoved(let file, let errno):
            log.warning(
                "a file can't be removed", metadata: ["file": "\(file)", "errno": "\(errno)"])
        }
    }
}
