import Foundation

/// The files of `Fixtures/`, as paths below that folder, sorted.
package enum FixtureFiles {
    /// Every scenario whose expectations must be met; `field/` has what people tried.
    package static let scenarios = files {
        $0.hasSuffix(".jsonl") && !isRaw($0) && !$0.hasPrefix("field/")
    }

    /// Every file of raw slot calls.
    package static let rawCalls = files { $0.hasSuffix(".jsonl") && isRaw($0) }

    /// The bytes of the file at `path`.
    package static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: Repository.fixture(path)))
    }

    private static func isRaw(_ path: String) -> Bool {
        path.hasSuffix(".raw.jsonl") || path.hasPrefix("vectors/")
    }

    private static func files(_ isWanted: (String) -> Bool) -> [String] {
        let root = Repository.path("Fixtures")
        let all = FileManager.default.enumerator(atPath: root)?.allObjects as? [String]
        return (all ?? []).filter(isWanted).sorted()
    }
}
