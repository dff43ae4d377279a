import CLinux
import CRunRecord
import Glibc
import MemslotPicture
import MemslotScenario
import Memslots

struct ProgramFile {
    let path: String

    init(finding name: String) throws(RunFailure) {
        if name.contains("/") {
            guard access(name, X_OK) == 0 else { throw .last("\(name) can't be run") }
            path = name
            return
        }
        let folders = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        let found = folders.split(separator: ":").map { "\($0)/\(name)" }.first { candidate in
            var status = stat()
            return stat(candidate, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
                && access(candidate, X_OK) == 0
        }
        guard let found else { throw RunFailure("\(name): no such program in PATH") }
        path = found
    }

    /// Throws the reason for which the dynamic linker would silently not load the library.
    func checkPreloadable() throws(RunFailure) {
        if let privilege {
            throw RunFailure(
                "\(path) \(privilege.what): the dynamic linker preloads nothing into it. "
                    + privilege.wayOut)
        }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        let header = bytes(of: file, at: 0, count: 64)
        // A script: its interpreter loads the library.
        guard header.starts(with: [0x7f, 0x45, 0x4c, 0x46]), header.count == 64 else { return }
        guard header[4] == 2 else {
            throw RunFailure("\(path) is a 32-bit program; the preload library is a 64-bit one")
        }
        guard hasInterpreter(file, header) else {
            throw RunFailure(
                "\(path) is statically linked: nothing can be preloaded into it. "
                    + "Link it dynamically, or record it with strace, as memslotctl import --help says"
            )
        }
    }

    /// The additional rights of the program, and what to do; `nil` if it has none. Kernel:
    /// `bprm->secureexec`, which programs see as `AT_SECURE`.
    private var privilege: (what: String, wayOut: String)? {
        var (status, system) = (stat(), statvfs())
        guard stat(path, &status) == 0 else { return nil }
        // The file system ignores the bits.
        if statvfs(path, &system) == 0, system.f_flag & UInt(ST_NOSUID) != 0 { return nil }
        if status.st_mode & S_ISUID != 0, status.st_uid != getuid() {
            return ("is set-user-ID", "Run it as its owner, or a copy without the bit")
        }
        let group = S_ISGID | S_IXGRP
        if status.st_mode & group == group, status.st_gid != getgid() {
            return ("is set-group-ID", "Run a copy without the bit")
        }
        if getuid() != 0, clinux_has_capabilities(path) != 0 {
            return ("has capabilities of its own", "Run a copy, which has none")
        }
        return nil
    }

    /// Whether the program names a dynamic linker (`PT_INTERP`, which is 3).
    private func hasInterpreter(_ file: Int32, _ header: [UInt8]) -> Bool {
        let table = word(header, at: 32, count: 8)
        let entrySize = Int(word(header, at: 54, count: 2))
        let count = Int(word(header, at: 56, count: 2))
        guard entrySize >= 4, let begin = Int(exactly: table) else { return false }
        return (0..<count).contains { index in
            let (offset, wraps) = begin.addingReportingOverflow(index * entrySize)
            return !wraps && bytes(of: file, at: offset, count: 4) == [3, 0, 0, 0]
        }
    }

    private func bytes(of file: Int32, at offset: Int, count: Int) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let read = pread(file, &buffer, count, offset)
        return Array(buffer.prefix(max(0, read)))
    }

    private func word(_ bytes: [UInt8], at offset: Int, count: Int) -> UInt64 {
        bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

enum PreloadLibrary {
    /// Its path: beside this program, or the value of `MEMSLOTS_PRELOAD`.
    static func path() throws(RunFailure) -> String {
        let path = try found()
        guard !path.contains(where: { " :".contains($0) }) else {
            throw RunFailure(
                "\(path): the dynamic linker ends a name in LD_PRELOAD at a blank and at a colon: "
                    + "name a copy or a link in another folder in MEMSLOTS_PRELOAD")
        }
        guard !path.contains("/") || isLibrary(path) else {
            throw RunFailure("\(path) is not the preload library of this version of memslotctl")
        }
        return path
    }

    /// Whether it reads the variable that memslotctl sets: the VMM would run without any other.
    private static func isLibrary(_ path: String) -> Bool {
        guard let bytes = try? InputFile(path).bytes(),
            bytes.starts(with: Array("\u{7f}ELF\u{2}".utf8))
        else { return false }
        return crun_names_variable(bytes, UInt64(bytes.count)) != 0
    }

    private static func found() throws(RunFailure) -> String {
        if let named = getenv("MEMSLOTS_PRELOAD").map({ String(cString: $0) }) {
            // The dynamic linker searches for a name without a folder.
            guard named.contains("/") else { return named }
            guard access(named, R_OK) == 0 else { throw .last("MEMSLOTS_PRELOAD: \(named)") }
            // Programs that the VMM starts may have another working directory.
            guard !named.hasPrefix("/"), let folder = realpath(".", nil) else { return named }
            defer { free(folder) }
            return String(cString: folder) + "/" + named
        }
        let folder = OwnProgram.folder
        let places = ["\(folder)/", "\(folder)/../lib/", "\(folder)/../lib/memslots/"]
        for place in places where access(place + name, R_OK) == 0 { return place + name }
        throw RunFailure(
            "\(name) is not in \(folder): name it in MEMSLOTS_PRELOAD, or "
                + OwnProgram.remedy(missing: "memslots-preload", package: "the package memslots"))
    }

    private static let name = "libmemslots-preload.so"
}
