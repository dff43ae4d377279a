internal import CLinux
internal import Glibc
internal import Memslots

/// The directory that the state is in: private, and locked for as long as this is kept.
///
/// Every file is reached from its descriptor, so that nobody can put another directory in its
/// place.
final class StateDirectory: Sendable {
    let path: String
    let descriptor: Int32
    private let lock: Int32

    /// Opens the directory at `path`, or makes it, 0700, and locks it.
    ///
    /// - Throws: where others could look into it or change it, or another server has it.
    init(_ path: String) throws(StateError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw StateError("\(path): can't be made: \(Errno(rawValue: errno))")
        }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else {
            throw StateError("\(path): can't be opened: \(Errno(rawValue: errno))")
        }
        do throws(StateError) {
            try Self.check(directory, path)
            lock = try Self.lock(directory, path)
        } catch {
            close(directory)
            throw error
        }
        descriptor = directory
        self.path = path
    }

    deinit {
        close(descriptor)
        // Last: whoever gets the lock finds nobody here.
        close(lock)
    }

    private static func check(_ descriptor: Int32, _ path: String) throws(StateError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw StateError("\(path): can't be looked at: \(Errno(rawValue: errno))")
        }
        guard status.st_uid == geteuid() else {
            throw StateError(
                "\(path): belongs to user \(status.st_uid); use a directory of your own")
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            throw StateError(
                "\(path): others may look into it (mode 0\(mode)); guest memory may be there: "
                    + "chmod 0700")
        }
    }

    /// The file stays: to remove it would let two servers lock two files of one name.
    private static func lock(_ directory: Int32, _ path: String) throws(StateError) -> Int32 {
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY
        let descriptor = openat(directory, "lock", flags, 0o600)
        guard descriptor >= 0 else {
            throw StateError("\(path)/lock: can't be opened: \(Errno(rawValue: errno))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw StateError("\(path): another server keeps its state here")
        }
        return descriptor
    }
}

// MARK: Files
extension StateDirectory {
    /// The names of everything in it.
    func names() throws(Errno) -> [String] {
        // A descriptor of its own, because reading moves it and closing closes it.
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { throw Errno(rawValue: errno) }
        guard let stream = fdopendir(copy) else {
            defer { close(copy) }
            throw Errno(rawValue: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            // The name is in the entry, which stays until the next is read.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw Errno(rawValue: errno) }
        return names
    }

    /// Opens a regular file of ours, without waiting.
    func openFile(_ name: String, _ flags: Int32) throws(Errno) -> (descriptor: Int32, size: Int) {
        let always = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK
        let file = openat(descriptor, name, flags | always, 0o600)
        guard file >= 0 else { throw Errno(rawValue: errno) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_uid == geteuid()
        else {
            close(file)
            throw .invalidArgument
        }
        return (file, Int(status.st_size))
    }

    /// Gives a file another name; what has that name goes.
    func rename(_ name: String, to other: String) throws(Errno) {
        guard renameat(descriptor, name, descriptor, other) == 0 else {
            throw Errno(rawValue: errno)
        }
    }

    /// Removes a file. One that is not there is as good as removed.
    func remove(_ name: String) throws(Errno) {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw Errno(rawValue: errno)
        }
    }

    /// Waits until names are on the disk.
    func synchronize() throws(Errno) {
        guard fsync(descriptor) == 0 else { throw Errno(rawValue: errno) }
    }
}
