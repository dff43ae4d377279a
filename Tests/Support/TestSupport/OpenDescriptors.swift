import Glibc

/// The descriptors and mappings of this process, read from `/proc`.
package enum OpenDescriptors {
    /// Returns how many descriptors are open whose link, such as `pipe:[123]`, begins with `link`.
    package static func count(_ link: String) -> Int {
        guard let directory = opendir("/proc/self/fd") else { return -1 }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var target = [CChar](repeating: 0, count: 512)
            guard readlink("/proc/self/fd/" + name, &target, 511) > 0 else { continue }
            let text = String(
                decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix(link) { count += 1 }
        }
        return count
    }

    /// Returns how many mappings there are whose line in `/proc/self/maps` contains `name`.
    package static func mappings(_ name: String) -> Int {
        guard let file = fopen("/proc/self/maps", "re") else { return -1 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4_096)
        var count = 0
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            if String(decoding: text, as: UTF8.self).contains(name) { count += 1 }
        }
        return count
    }

    /// Returns the link of a descriptor.
    package static func link(of descriptor: Int32) -> String {
        var target = [CChar](repeating: 0, count: 512)
        readlink("/proc/self/fd/\(descriptor)", &target, 511)
        return String(
            decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// What this process has of memory files. Other tests create some too, so this is only for tests in
/// a process of their own.
package struct MemoryFileCount: Equatable {
    package var descriptors: Int
    package var mappings: Int

    package static var now: MemoryFileCount {
        MemoryFileCount(
            descriptors: OpenDescriptors.count("/memfd:"),
            mappings: OpenDescriptors.mappings("/memfd:"))
    }
}

/// Both ends of a pipe, whose link no other descriptor has.
package struct PipeEnds: ~Copyable {
    package let readEnd: Int32
    package let writeEnd: Int32

    package init() {
        var ends: [Int32] = [-1, -1]
        pipe(&ends)
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    package var link: String { OpenDescriptors.link(of: readEnd) }

    /// How many descriptors of this pipe there are beside its own two.
    package var others: Int { OpenDescriptors.count(link) - 2 }

    /// Waits for `count` bytes, and returns them as text.
    package func read(_ count: Int) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: count)
        while bytes.count < count {
            let size = Glibc.read(readEnd, &buffer, count - bytes.count)
            guard size > 0 else { break }
            bytes += buffer.prefix(size)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
