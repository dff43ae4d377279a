import Glibc
import Logging
import MemslotService
import Memslots

/// Writes metrics to a file every 15 seconds, for node_exporter's textfile collector.
struct MetricsFile: Sendable {
    let path: String
    let log: Logger
    /// Returns the whole text.
    let text: @Sendable () -> String

    /// Starts a thread that writes until the process ends.
    func start() {
        do throws(Errno) {
            try OwnThread {
                while true {
                    do throws(Errno) { try write() } catch { logFailure(error) }
                    sleep(15)
                }
            }.detach()
        } catch {
            log.error("metrics aren't written: no thread", metadata: ["reason": "\(error)"])
        }
    }

    /// Writes a new file and renames it, so that the collector never reads half of one.
    private func write() throws(Errno) {
        let (file, temporary) = try create()
        do throws(Errno) {
            try write(Array(text().utf8), to: file)
            try Self.check(rename(temporary, path))
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Creates a file beside the metrics. Nobody can guess its name, and an existing file or link
    /// is never opened.
    private func create() throws(Errno) -> (file: Int32, path: String) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        while true {
            let name = "\(path).\(String(UInt64.random(in: 0 ... .max), radix: 36))"
            let file = open(name, flags, 0o666)
            if file >= 0 { return (file, name) }
            guard errno == EEXIST else { throw Errno(rawValue: errno) }
        }
    }

    private func write(_ bytes: [UInt8], to file: Int32) throws(Errno) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                let failure = Errno(rawValue: errno)
                close(file)
                throw failure
            }
            rest = rest.dropFirst(count)
        }
        // Some file systems report only here that they are full.
        try Self.check(close(file))
    }

    private static func check(_ status: Int32) throws(Errno) {
        guard status == 0 else { throw Errno(rawValue: errno) }
    }

    private func logFailure(_ errno: Errno) {
        log.error("metrics can't be written", metadata: ["file": "\(path)", "reason": "\(errno)"])
    }
}
