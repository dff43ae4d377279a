import Foundation
import Glibc

/// A directory that goes with this.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/memslots-state-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw CocoaError(.fileWriteUnknown) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Where the state is.
    var state: String { path + "/state" }

    /// The names in the state directory, but for the lock.
    var stateFiles: [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: state)) ?? []
        return all.filter { $0 != "lock" }.sorted()
    }

    func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: state + "/" + name)))
    }

    func write(_ bytes: [UInt8], _ name: String) throws {
        try? FileManager.default.createDirectory(
            atPath: state, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        try Data(bytes).write(to: URL(fileURLWithPath: state + "/" + name))
    }
}
