import Glibc
import MemslotTrace
import Memslots

/// The record of a run, written while it lasts, so that it is in the file if a process is killed.
final class RunRecordFile: Sendable {
    private struct State: Sendable {
        let file: Int32
        var writer: RunScenarioWriter
        var error: Errno?

        /// Writes whole lines at once, so that a file that is cut has only whole lines.
        mutating func write(_ bytes: [UInt8]) {
            guard error == nil else { return }
            do throws(Errno) { try writeAll(bytes, to: file) } catch { self.error = error }
        }
    }

    private let path: String
    private let state: Locked<State>
    private let following: FollowedRun

    init(
        at path: String, _ memory: RunMemory, _ settings: TraceImporter.Options
    ) throws(RunFailure) {
        let file = try converting(
            { (errno: Errno) in RunFailure("\(path): can't be written: \(errno.name)") },
            OutputFile.open(path))
        self.path = path
        let state = Locked(State(file: file, writer: RunScenarioWriter(settings)))
        self.state = state
        state.withLock { $0.write($0.writer.header()) }
        do throws(Errno) {
            following = try FollowedRun(memory, isAtomic: false, settings) { events in
                state.withLock { state in
                    state.write(events.flatMap { state.writer.lines(of: $0) })
                }
            }
        } catch { throw RunFailure("no thread for the record: \(error)") }
    }

    /// Writes the rest, and the totals if the run is over; returns why the file is not whole.
    func end(_ recording: RunRecording?) -> String? {
        following.end()
        return state.withLock { state in
            if let recording { state.write(state.writer.end(recording)) }
            if close(state.file) < 0, state.error == nil { state.error = Errno(rawValue: errno) }
            return state.error.map { "\(path): can't be written: \($0.name)" }
        }
    }
}

/// A thread that reads the records of a run while it lasts, and passes on each event.
final class FollowedRun: Sendable {
    private let thread: OwnThread
    private let isOver = Locked(false)

    /// The time between two reads, in microseconds.
    private static let pause: UInt32 = 4_000

    /// - Parameter isAtomic: whether commits are followed, and not what the VMM asked for.
    init(
        _ memory: RunMemory, isAtomic: Bool, _ settings: TraceImporter.Options,
        _ apply: @escaping @Sendable ([RunEvent]) -> Void
    ) throws(Errno) {
        let isOver = isOver
        thread = try OwnThread {
            var reader = RunRecordReader(RunFollower(isAtomic: isAtomic, options: settings))
            while true {
                let isOver = isOver.withLock { $0 }
                apply(memory.withBytes { reader.read($0, isOver: isOver) })
                if isOver { return }
                usleep(Self.pause)
            }
        }
    }

    func end() {
        isOver.withLock { $0 = true }
        thread.join()
    }
}
