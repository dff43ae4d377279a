import Foundation
import TestSupport

/// The fixtures of the repository, found from this file.
enum FixtureFiles {
    private static let root = Repository.url("Fixtures")

    /// Every scenario, as a path below `Fixtures/`, sorted.
    static let scenarios = files { $0.hasSuffix(".jsonl") && !isRaw($0) }

    /// Every file of raw slot calls.
    static let rawCalls = files { $0.hasSuffix(".jsonl") && isRaw($0) }

    /// The bytes of `path`.
    static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: root.appending(path: path)))
    }

    private static func isRaw(_ path: String) -> Bool {
        path.hasSuffix(".raw.jsonl") || path.hasPrefix("vectors/")
    }

    private static func files(_ isWanted: (String) -> Bool) -> [String] {
        let all = FileManager.default.enumerator(atPath: root.path)?.allObjects as? [String]
        return (all ?? []).filter(isWanted).sorted()
    }
}
