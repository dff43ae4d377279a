internal import Glibc
internal import Memslots

/// The directory that contains the state: private, and locked as long as this object lives.
///
/// Files are opened relative to the directory's descriptor, so that no other directory can be put in
/// its place.
final class StateDirectory: Sendable {
    let path: String
    let descriptor: Int32
    private let lock: Int32

    /// Opens the directory at `path`, or creates it with mode 0700, and locks it. Throws if others
    /// may open it, or another server uses it.
    ///
    /// With `isStopped` a tool opens the directory of a daemon that was stopped: nothing is
    /// created, and root becomes the directory's owner.
    init(_ path: String, isStopped: Bool = false) throws(StateError) {
        if !isStopped, mkdir(path, 0o700) != 0, errno != EEXIST {
            throw StateError("\(path): can't be created: \(Errno.last)")
        }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw StateError("\(path): can't be opened: \(Errno.last)") }
        do throws(StateError) {
            try Self.check(directory, path, adoptsOwner: isStopped)
            lock = try Self.lock(directory, path, isStopped ? 0 : O_CREAT)
        } catch {
            close(directory)
            throw error
        }
        descriptor = directory
        let whole = realpath(path, nil)
        self.path = whole.map { String(cString: $0) } ?? path
        free(whole)
    }

    deinit {
        close(descriptor)
        // Last: the next server locks the directory only when this one no longer uses it.
        close(lock)
    }

    private static func check(
        _ descriptor: Int32, _ path: String, adoptsOwner: Bool
    ) throws(StateError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw StateError("\(path): can't be examined: \(Errno.last)")
        }
        // What is written then belongs to the daemon's user, and nothing is opened as root.
        if adoptsOwner, geteuid() == 0, setegid(status.st_gid) == 0 { seteuid(status.st_uid) }
        guard status.st_uid == geteuid() else {
            throw StateError(
                "\(path): belongs to user \(status.st_uid); use a directory of your own")
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            throw StateError(
                "\(path): others may open it (mode 0\(mode)), and it may contain guest memory; "
                    + "use chmod 0700 '\(path)'")
        }
    }

    /// The lock file stays: if it were removed, two servers could lock two files of one name.
    private static func lock(
        _ directory: Int32, _ path: String, _ creating: Int32
    ) throws(StateError) -> Int32 {
        let flags = O_RDWR | creating | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY
        let descriptor = openat(directory, "lock", flags, 0o600)
        guard descriptor >= 0 else {
            throw StateError("\(path)/lock: can't be opened: \(Errno.last)")
        }
        // A child that a process has forked, and that runs no program yet, holds its lock as well.
        let end = ContinuousClock.now + .seconds(1)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard .now < end else {
                close(descriptor)
                throw StateError("\(path): a server that runs keeps its state here; stop it first")
            }
            usleep(10_000)
        }
        return descriptor
    }
}

// MARK: Files
extension StateDirectory {
    func names() throws(Errno) -> [String] {
        // A second descriptor, because closedir closes the one that it reads.
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { throw .last }
        guard let stream = fdopendir(copy) else {
            defer { close(copy) }
            throw .last
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            // The entry is valid until the next one is read.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw .last }
        return names
    }

    /// Opens a regular file of this process's user, and never blocks.
    func openFile(_ name: String, _ flags: Int32) throws(Errno) -> (descriptor: Int32, size: Int) {
        let always = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK
        let file = openat(descriptor, name, flags | always, 0o600)
        guard file >= 0 else { throw .last }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_uid == geteuid()
        else {
            close(file)
            throw .invalidArgument
        }
        return (file, Int(status.st_size))
    }

    /// Renames a file, and replaces the file that had the new name.
    func rename(_ name: String, to other: String) throws(Errno) {
        guard renameat(descriptor, name, descriptor, other) == 0 else { throw .last }
    }

    func record(_ name: String) throws(DamagedRecord) -> [UInt8] {
        try converting(
            { (error: Errno) in DamagedRecord("it can't be read: \(error)") },
            StateFile(directory: self, name: name, isSynced: false)
                .read(limit: VMRecord.byteLimit + SealedText.sealLength))
    }

    /// Renames a damaged record to a name that is not in `names`, and returns that.
    func setAside(
        _ name: String, of vm: UInt64, _ names: some Sequence<String>
    ) throws(Errno) -> String {
        var index = 1
        while names.contains(StateNames.damaged(vm, index)) { index += 1 }
        try rename(name, to: StateNames.damaged(vm, index))
        return StateNames.damaged(vm, index)
    }

    /// Removes a file, if it exists.
    func remove(_ name: String) throws(Errno) {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else { throw .last }
    }

    /// Waits until the directory's entries are on the disk.
    func synchronize() throws(Errno) { guard fsync(descriptor) == 0 else { throw .last } }
}

/// The names of a VM's files. They contain a number, because a VM's name may contain anything.
enum StateNames {
    static func record(_ vm: UInt64) -> String { "vm-\(vm).state" }

    /// The file of a memory object, and its descriptor's name in a descriptor store.
    static func memory(_ id: UInt32, of vm: UInt64) -> String { "vm-\(vm).memory-\(id)" }

    /// The record of a VM that is being destroyed. It stays until the VM's memory is removed.
    static func removed(_ vm: UInt64) -> String { "\(record(vm)).removed" }

    /// A damaged record that was set aside.
    static func damaged(_ vm: UInt64, _ index: Int) -> String { "\(record(vm)).damaged-\(index)" }

    enum Kind: Equatable {
        case record
        /// A text that was being written, or one that was replaced.
        case leftover
        case removed, damaged
        case memory(UInt32)
    }

    /// Returns the VM and the kind of the file `name`; `nil` for a name that is not ours.
    static func parse(_ name: String) -> (vm: UInt64, kind: Kind)? {
        guard name.hasPrefix("vm-"), let dot = name.firstIndex(of: "."),
            let vm = number(name[..<dot].dropFirst(3))
        else { return nil }
        let rest = name[name.index(after: dot)...]
        switch rest {
        case "state": return (vm, .record)
        case "state.new", "state.old": return (vm, .leftover)
        case "state.removed": return (vm, .removed)
        case _ where rest.hasPrefix("state.damaged-"): return (vm, .damaged)
        case _ where rest.hasPrefix("memory-"):
            return number(rest.dropFirst(7)).flatMap { UInt32(exactly: $0) }
                .map { (vm, .memory($0)) }
        default: return nil
        }
    }

    /// Parses a number as we write it, without a sign or leading zeros.
    private static func number(_ text: Substring) -> UInt64? {
        guard let number = UInt64(text), String(number) == text, number < 1 << 62 else {
            return nil
        }
        return number
    }
}
