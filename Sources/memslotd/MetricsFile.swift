import Glibc
import Logging

/// Writes figures to a file from time to time, for node_exporter's textfile collector.
struct MetricsFile: Sendable {
    let path: String
    let log: Logger
    /// Gives the whole text.
    let text: @Sendable () -> String

    private static let seconds: UInt32 = 15

    /// Begins on a thread of its own, which ends with the process.
    func start() {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Box(self))
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let file = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().file
                while true {
                    file.write()
                    sleep(MetricsFile.seconds)
                }
            }, argument.toOpaque())
        guard status == 0 else { return argument.release() }
        pthread_detach(thread)
    }

    private final class Box: Sendable {
        let file: MetricsFile

        init(_ file: MetricsFile) { self.file = file }
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
