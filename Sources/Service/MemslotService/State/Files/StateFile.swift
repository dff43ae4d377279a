internal import CLinux
internal import Glibc
internal import Memslots

/// A file that is replaced as a whole: whoever reads it finds the old text or the new one.
struct StateFile: Sendable {
    let directory: StateDirectory
    let name: String
    /// Whether a text is on the disk, and not only with the kernel, before it counts as written.
    let isSynced: Bool

    /// What a new text is written to, and where the old one is afterwards.
    static let newSuffix = ".new"
    /// Where the old text is on a file system that can't exchange two files.
    static let oldSuffix = ".old"

    /// A text that was put in place, and can be taken back.
    struct Replaced {
        fileprivate let file: StateFile
        /// Where the text before it is; `nil` if there was none.
        fileprivate let previous: String?

        /// Lets the text before it go.
        func keep() {
            guard let previous else { return }
            // What stays is removed at the next start.
            try? file.directory.remove(previous)
        }

        /// Puts the text before it back. Needs no room on the disk.
        ///
        /// - Throws: the errno; the new text is in place then.
        func takeBack() throws(Errno) {
            if let previous {
                try file.directory.rename(previous, to: file.name)
            } else {
                try file.directory.remove(file.name)
            }
            // It is back for every process. If the disk can't be told, only a host that loses
            // power now could find the other text.
            if file.isSynced { try? file.directory.synchronize() }
        }
    }

    /// Reads all of it.
    ///
    /// - Throws: `EFBIG` for more than `limit` bytes, else the errno of the call.
    func read(limit: Int) throws(Errno) -> [UInt8] {
        let (file, size) = try directory.openFile(name, O_RDONLY)
        defer { close(file) }
        guard size <= limit else { throw Errno(rawValue: EFBIG) }
        var bytes = [UInt8](repeating: 0, count: size)
        var count = 0
        while count < size {
            let more = bytes.withUnsafeMutableBytes { bytes in
                Glibc.read(file, bytes.baseAddress.map { $0 + count }, size - count)
            }
            if more < 0 && errno == EINTR { continue }
            guard more >= 0 else { throw Errno(rawValue: errno) }
            // Shorter than it was a moment ago: the checksum tells.
            if more == 0 { break }
            count += more
        }
        return Array(bytes[..<count])
    }

    /// Puts `bytes` in the place of what is there.
    ///
    /// - Throws: why not; what was there is there still, but where the error says otherwise.
    func replace(_ bytes: [UInt8]) throws(Failure) -> Replaced {
        let new = name + Self.newSuffix
        let replaced: Replaced
        do throws(Errno) {
            try write(bytes, to: new)
            replaced = Replaced(file: self, previous: try exchange(new))
        } catch {
            // What stays is removed at the next start.
            try? directory.remove(new)
            throw Failure(errno: error)
        }
        guard isSynced else { return replaced }
        do throws(Errno) { try directory.synchronize() } catch {
            do throws(Errno) { try replaced.takeBack() } catch {
                throw Failure(errno: error, isReplaced: true)
            }
            throw Failure(errno: error)
        }
        return replaced
    }

    /// Why a text could not be put in place.
    struct Failure: Error {
        let errno: Errno
        /// Whether it is in place all the same, because it could not be taken back.
        var isReplaced = false
    }

    private func write(_ bytes: [UInt8], to new: String) throws(Errno) {
        let (file, _) = try directory.openFile(new, O_WRONLY | O_CREAT | O_TRUNC)
        do throws(Errno) {
            try write(bytes, into: file)
            if isSynced, fsync(file) != 0 { throw Errno(rawValue: errno) }
        } catch {
            close(file)
            throw error
        }
        // Some file systems tell only here that there is no room.
        guard close(file) == 0 else { throw Errno(rawValue: errno) }
    }

    private func write(_ bytes: [UInt8], into file: Int32) throws(Errno) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                Glibc.write(file, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Errno(rawValue: errno) }
            written += count
        }
    }

    /// Puts the file `new` in place.
    ///
    /// - Returns: where the file before it is; `nil` if there was none.
    private func exchange(_ new: String) throws(Errno) -> String? {
        let status = clinux_exchange(directory.descriptor, new, name)
        if status == 0 { return new }
        if status == -ENOENT {
            try directory.rename(new, to: name)
            return nil
        }
        guard status == -EINVAL || status == -ENOSYS else { throw Errno(rawValue: -status) }
        // NFS and others: the old text gets a second name, and then loses the first.
        let old = name + Self.oldSuffix
        try directory.remove(old)
        guard linkat(directory.descriptor, name, directory.descriptor, old, 0) == 0 else {
            guard errno == ENOENT else { throw Errno(rawValue: errno) }
            try directory.rename(new, to: name)
            return nil
        }
        try directory.rename(new, to: name)
        return old
    }
}
