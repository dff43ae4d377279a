import Foundation
import TestSupport
import Testing

/// The Swift code of one scope of a document: all blocks that a reader would paste into one file.
///
/// A block stands alone unless the line above its fence is `<!-- snippet: NAME -->`: then it joins
/// the blocks of the same name above it. `<!-- snippet: manifest -->` marks a `Package.swift`.
struct Snippet: Sendable, CustomTestStringConvertible {
    /// The document, by its path from the checkout's root.
    let document: String
    let name: String?
    /// The line of the first block.
    let line: Int
    /// The code, with a directive before each block so that messages name the document.
    var code: String

    var testDescription: String { "\(document):\(line)\(name.map { " \($0)" } ?? "")" }
    var isManifest: Bool { name == "manifest" }

    /// Everything that is wrong with the fences of the documents.
    struct BadFence: Error, CustomStringConvertible { let description: String }

    /// All snippets of all documents.
    static func all() throws -> [Snippet] { try documents().flatMap(read) }

    /// README, the guides, and the articles of the catalogues.
    static func documents() throws -> [String] {
        let root = Repository.root()
        var found = ["README.md"]
        for folder in ["Docs", "Sources"] {
            let files = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
            while let file = files?.nextObject() as? String {
                guard file.hasSuffix(".md") else { continue }
                if folder == "Docs" || file.contains(".docc/") { found.append("\(folder)/\(file)") }
            }
        }
        return found.sorted()
    }

    private static func read(_ document: String) throws -> [Snippet] {
        let text = try String(contentsOf: Repository.url(document), encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var snippets: [Snippet] = []
        var start: Int?
        for (index, line) in lines.enumerated() {
            if let first = start {
                guard line == "```" else { continue }
                start = nil
                let marker =
                    first > 1 ? lines[first - 2].wholeMatch(of: /<!-- snippet: (.+) -->/) : nil
                let name = marker.map { String($0.1) }
                var code = lines[first..<index].joined(separator: "\n") + "\n"
                if name != "manifest" {
                    code = """
                        #sourceLocation(file: "\(document)", line: \(first + 1))
                        \(code)
                        #sourceLocation()

                        """
                }
                let scope = snippets.firstIndex { name != nil && $0.name == name }
                if let scope {
                    snippets[scope].code += code
                } else {
                    snippets.append(
                        Snippet(document: document, name: name, line: first, code: code))
                }
            } else if line == "```swift" {
                start = index + 1
            } else if line.drop(while: \.isWhitespace).hasPrefix("```swift") {
                throw BadFence(description: "\(document):\(index + 1): this fence is not compiled")
            }
        }
        guard start == nil else { throw BadFence(description: "\(document): a fence stays open") }
        return snippets
    }
}
