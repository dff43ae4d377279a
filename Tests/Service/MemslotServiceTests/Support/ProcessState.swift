import Foundation

/// What this process holds open and mapped, by its own word.
struct ProcessState: Equatable {
    /// How many descriptors of memory files are open.
    var memoryFiles: Int
    /// How many mappings of memory files there are.
    var memoryMappings: Int

    /// What it is now. Other tests make memory files too: only for a process of its own.
    static var now: ProcessState {
        let folder = "/proc/self/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let files = names.count {
            let target = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "\(folder)/\($0)")
            return target?.hasPrefix("/memfd:") == true
        }
        return ProcessState(memoryFiles: files, memoryMappings: mappings)
    }

    // Read to the end by hand: a file of /proc says that it has no bytes.
    private static var mappings: Int {
        guard let file = FileHandle(forReadingAtPath: "/proc/self/maps"),
            let data = try? file.readToEnd()
        else { return -1 }
        return String(decoding: data, as: UTF8.self).split(separator: "\n")
            .count { $0.contains("/memfd:") }
    }
}
