import Foundation
package import TestSupport

extension ScratchDirectory {
    /// The path of the state directory in this one.
    package var state: String { path("state") }

    /// The names of the files in the state directory, without the lock.
    package var stateFiles: [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: state)) ?? []
        return all.filter { $0 != "lock" }.sorted()
    }

    /// The contents of a file in the state directory.
    package func stateBytes(_ name: String) throws -> [UInt8] {
        // Not `Data(contentsOf:)`: Foundation leaks its buffer where the file is empty.
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: state + "/" + name))
        return Array(try file.readToEnd() ?? Data())
    }

    /// Writes a file into the state directory, which is created first if there is none.
    package func writeState(_ bytes: [UInt8], _ name: String) throws {
        try FileManager.default.createDirectory(
            atPath: state, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]
        )
        try write(bytes, to: "state/" + name)
    }
}
