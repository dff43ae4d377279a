import Foundation
import MemslotTestKit
import TestSupport
import Testing

@testable import MemslotFuzz

/// Runs all known inputs without libFuzzer.
@Suite("Fuzz targets")
struct FuzzTargetTests {
    private static let fixtures = Repository.path("Fixtures")

    @Test("a target holds its promises on every fixture", arguments: FuzzTarget.allCases)
    func corpus(target: FuzzTarget) throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "memslot-fuzz-\(target)-\(getpid())")
        defer { try? FileManager.default.removeItem(at: folder) }
        for target in FuzzTarget.allCases {
            try FileManager.default.createDirectory(
                at: folder.appending(path: target.rawValue), withIntermediateDirectories: true)
        }
        #expect(Corpus.write(from: Self.fixtures, to: folder.path))
        let files = Corpus.files(below: folder.appending(path: target.rawValue).path)
        #expect(!files.isEmpty)
        for file in files {
            let bytes = try #require(Files.read(file))
            let broken = target.run(bytes)
            #expect(broken == nil, "\(file)")
        }
    }

    @Test("a target accepts the empty input", arguments: FuzzTarget.allCases)
    func empty(target: FuzzTarget) {
        #expect(target.run([]) == nil)
    }
}
