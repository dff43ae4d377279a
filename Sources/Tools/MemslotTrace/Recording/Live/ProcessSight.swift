import Glibc

/// Which processes of a run have ended, as far as that can be told from here.
///
/// A record has its process's number as the process itself sees it: in a PID namespace of its own it
/// means nothing here. So only one that was seen alive can be seen to have ended.
struct ProcessSight {
    /// Whether each was alive when its first record came.
    private var seen: [Int32: Bool] = [:]

    /// Takes the number from a record that has just come.
    mutating func note(_ process: Int32) {
        guard process > 0, seen[process] == nil else { return }
        seen[process] = Self.lives(process)
    }

    /// Whether it was seen alive; else nothing can be told.
    func knows(_ process: Int32) -> Bool { seen[process] == true }

    /// Whether it was seen alive and no longer is.
    func hasEnded(_ process: Int32) -> Bool { knows(process) && !Self.lives(process) }

    /// Whether there is such a process, and more of it than its exit status.
    private static func lives(_ process: Int32) -> Bool {
        guard kill(process, 0) == 0 || errno != ESRCH else { return false }
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        // It is there, and that is all that can be told.
        guard file >= 0 else { return true }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = Glibc.read(file, &buffer, buffer.count)
        // The name before it may have spaces and parentheses of its own.
        guard count > 0, let name = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else {
            return true
        }
        let fields = buffer[name..<count].dropFirst().split(separator: UInt8(ascii: " "))
        // state is field 3 of proc_pid_stat(5), num_threads is 20.
        guard fields.count > 17, let state = fields[0].first else { return true }
        // A first thread that has ended is a zombie too while others go on.
        let isAlone = fields[17].elementsEqual("1".utf8) || fields[17].elementsEqual("0".utf8)
        return !(isAlone && [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(state))
    }
}
