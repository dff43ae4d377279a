import Dispatch
import Glibc
import Logging
import MemslotService
import Memslots

/// Writes metrics to a file every 15 seconds, for node_exporter's textfile collector.
struct MetricsFile: Sendable {
    let path: String
    let log: Logger
    let text: @Sendable () -> String
    private let state = Locked((isWritten: false, isRemoved: false))

    /// Starts a thread that writes until the file is removed.
    func start() {
        do throws(Errno) { try OwnThread { while update() { sleep(15) } }.detach() } catch {
            log.error("metrics aren't written: no thread", metadata: ["reason": "\(error)"])
        }
    }

    /// Removes the file: nobody shall collect figures of a daemon that has ended. Waits for at most
    /// 2 seconds, so that a file system that hangs does not keep the daemon from its end.
    func remove() {
        let isOver = DispatchSemaphore(value: 0)
        do throws(Errno) {
            try OwnThread {
                state.withLock { state in
                    if state.isWritten { unlink(path) }
                    state = (false, true)
                }
                isOver.signal()
            }.detach()
        } catch {
            return log.error("metrics aren't removed: no thread", metadata: ["file": "\(path)"])
        }
        guard isOver.wait(timeout: .now() + 2) == .timedOut else { return }
        log.error(
            "metrics aren't removed: no answer of the file system", metadata: ["file": "\(path)"])
    }

    /// Writes the file; returns false once it was removed.
    private func update() -> Bool {
        state.withLock { state in
            guard !state.isRemoved else { return false }
            do throws(Errno) {
                try write()
                state.isWritten = true
            } catch {
                let details: Logger.Metadata = ["file": "\(path)", "reason": "\(error)"]
                log.error("metrics can't be written", metadata: details)
            }
            return true
        }
    }

    /// Writes a new file and renames it, so that the collector never reads half of one.
    private func write() throws(Errno) {
        let (file, temporary) = try create()
        let stream = fdopen(file, "w")
        let isWritten = fputs(text(), stream) >= 0
        // Some file systems report only here that they are full.
        guard fclose(stream) == 0, isWritten, rename(temporary, path) == 0 else {
            let failure = Errno.last
            unlink(temporary)
            throw failure
        }
    }

    /// Creates a file beside the metrics, whose name nobody can guess. Opens no file or link.
    private func create() throws(Errno) -> (file: Int32, path: String) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        while true {
            let name = "\(path).\(String(UInt64.random(in: 0 ... .max), radix: 36))"
            let file = open(name, flags, 0o666)
            if file >= 0 { return (file, name) }
            guard errno == EEXIST else { throw .last }
        }
    }
}
