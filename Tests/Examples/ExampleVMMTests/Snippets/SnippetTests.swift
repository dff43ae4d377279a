import Foundation
import TestSupport
import Testing

@Suite("the Swift code that the documents show")
struct SnippetTests {
    private static let products: Set<String> = [
        "Memslots", "MemslotKVM", "MemslotSimulator", "MemslotProtocol", "MemslotService",
        "MemslotVhostUser",
    ]
    private static let platform: Set<String> = [
        "Dispatch", "Foundation", "Glibc", "PackageDescription", "Synchronization",
    ]

    @Test("compiles as it is shown, against the library products", arguments: try Snippet.all())
    func compiles(snippet: Snippet) throws {
        let imports = snippet.code.matches(of: /(?m)^import (\w+)$/).map { String($0.1) }
        #expect(Set(imports).isSubset(of: Self.products.union(Self.platform)))
        if snippet.isManifest {
            let result = try SwiftCompiler.evaluate(manifest: snippet.code)
            #expect(result.status == 0, "\(result.errors)")
        } else {
            let result = try SwiftCompiler.typecheck(script: snippet.code)
            #expect(result.status == 0, "\(result.errors)")
        }
    }

    @Test("is found in the README, in the guide for VMM authors, and in each article")
    func found() throws {
        let shown = Set(try Snippet.all().map(\.document))
        #expect(shown.contains("README.md"))
        #expect(shown.contains("Docs/VMM-Authors.md"))
        let articles = try Snippet.documents().filter { $0.contains("Memslots.docc/") }
        #expect(articles.count >= 5)
        #expect(shown.isSuperset(of: articles))
    }

    @Test("that uses a name which it does not show is refused")
    func hidden() throws {
        let result = try SwiftCompiler.typecheck(
            script: "import Memslots\ntry table.submit([])\n")
        #expect(result.status != 0)
        #expect(result.errors.contains("cannot find 'table' in scope"))
    }
}
