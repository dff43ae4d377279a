import Glibc

/// What this process has open and mapped, as the kernel tells it.
enum OpenDescriptors {
    /// How many descriptors are open to what `link` names, such as `pipe:[123]`; a prefix.
    static func count(_ link: String) -> Int {
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

    /// How many mappings this process has of what `name` names.
    static func mappings(_ name: String) -> Int {
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

    /// What a descriptor is open to.
    static func link(of descriptor: Int32) -> String {
        var target = [CChar](repeating: 0, count: 512)
        readlink("/proc/self/fd/\(descriptor)", &target, 511)
        return String(
            decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A pipe, whose descriptors can be told from all others.
struct Pipe: ~Copyable {
    let readEnd: Int32
    let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        pipe(&ends)
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    var link: String { OpenDescriptors.link(of: readEnd) }

    /// How many descriptors of this pipe there are beside its own two.
    var others: Int { OpenDescriptors.count(link) - 2 }
}
