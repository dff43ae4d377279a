internal import CLinux
internal import Glibc
internal import Memslots

/// A file that is replaced as a whole: a reader finds the old text or the new one.
struct StateFile: Sendable {
    let directory: StateDirectory
    let name: String
    /// Whether a text must be on the disk, not only in the page cache, before it counts as written.
    let isSynced: Bool

    /// The file that a new text is written to. The two files are exchanged afterwards.
    static let newSuffix = ".new"
    /// The file of the old text on a file system that can't exchange two files.
    static let oldSuffix = ".old"

    /// A text that is in place, while the text before it still exists.
    struct Replacement {
        fileprivate let file: StateFile
        /// The file of the text before it; `nil` if there was none.
        fileprivate let previous: String?

        func removePrevious() {
            guard let previous else { return }
            // If this fails, the next start removes the file.
            try? file.directory.remove(previous)
        }

        /// Restores the text before it. Needs no space on the disk. Throws the errno; the new text
        /// stays in place then.
        func restorePrevious() throws(Errno) {
            if let previous {
                try file.directory.rename(previous, to: file.name)
            } else {
                try file.directory.remove(file.name)
            }
            // Every process finds the old text now. If the disk can't be synchronized, only a host
            // that loses power could find the new one.
            if file.isSynced { try? file.directory.synchronize() }
        }
    }

    /// Reads the whole file. Throws `EFBIG` for more than `limit` bytes, else the errno of the
    /// call.
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
            guard more >= 0 else { throw .last }
            // The file has become shorter; its checksum will not match.
            if more == 0 { break }
            count += more
        }
        return Array(bytes[..<count])
    }

    /// Replaces the file's text. Throws the failure. The old text is in place, unless the failure's
    /// `isReplaced` is true.
    func replace(_ bytes: [UInt8]) throws(Failure) -> Replacement {
        let new = name + Self.newSuffix
        let replacement: Replacement
        do throws(Errno) {
            try write(bytes, to: new)
            replacement = Replacement(file: self, previous: try exchange(new))
        } catch {
            // If this fails, the next start removes the file.
            try? directory.remove(new)
            throw Failure(errno: error)
        }
        guard isSynced else { return replacement }
        do throws(Errno) { try directory.synchronize() } catch {
            do throws(Errno) { try replacement.restorePrevious() } catch {
                throw Failure(errno: error, isReplaced: true)
            }
            throw Failure(errno: error)
        }
        return replacement
    }

    /// A text could not be put in place.
    struct Failure: Error {
        let errno: Errno
        /// Whether the new text is in place nevertheless, because that could not be undone.
        var isReplaced = false
    }

    private func write(_ bytes: [UInt8], to new: String) throws(Errno) {
        let (file, _) = try directory.openFile(new, O_WRONLY | O_CREAT | O_TRUNC)
        do throws(Errno) {
            try writeAll(bytes, to: file)
            guard !isSynced || fsync(file) == 0 else { throw .last }
        } catch {
            close(file)
            throw error
        }
        // Some file systems report only here that they are full.
        guard close(file) == 0 else { throw .last }
    }

    /// Puts the file `new` in place. Returns the file of the old text; `nil` if there was none.
    private func exchange(_ new: String) throws(Errno) -> String? {
        let status = clinux_exchange(directory.descriptor, new, name)
        if status == 0 { return new }
        var old: String?
        if status != -ENOENT {
            guard status == -EINVAL || status == -ENOSYS else { throw Errno(rawValue: -status) }
            // NFS and others can't exchange files. The old text gets a second name before it loses
            // the first.
            let second = name + Self.oldSuffix
            try directory.remove(second)
            if linkat(directory.descriptor, name, directory.descriptor, second, 0) == 0 {
                old = second
            } else if errno != ENOENT {
                throw .last
            }
        }
        try directory.rename(new, to: name)
        return old
    }
}
