import Glibc
import Logging
import Memslots

/// Writes figures to a file from time to time, for node_exporter's textfile collector.
struct MetricsFile: Sendable {
    let path: String
    let log: Logger
    /// Gives the whole text.
    let text: @Sendable () -> String

    private static let seconds: UInt32 = 15

    /// Begins on a thread of its own, which ends with the process.
    func start() {
        do throws(Errno) {
            try OwnThread {
                while true {
                    write()
                    sleep(Self.seconds)
                }
            }.detach()
        } catch {
            log.error("metrics aren't written: no thread", metadata: ["reason": "\(error)"])
        }
    }

    /// Writes a new file and puts it in the old one's place: the collector never sees half of it.
    func write() {
        let temporary = path + ".new"
        guard let file = fopen(temporary, "we") else { return complain(temporary) }
        let bytes = Array(text().utf8)
        let isWritten = fwrite(bytes, 1, bytes.count, file) == bytes.count
        guard fclose(file) == 0, isWritten, rename(temporary, path) == 0 else {
            return complain(path)
        }
    }

    private func complain(_ path: String) {
        let reason = String(cString: strerror(errno))
        log.error("metrics can't be written", metadata: ["file": "\(path)", "reason": "\(reason)"])
    }
}
