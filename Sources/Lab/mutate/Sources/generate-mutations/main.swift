import Foundation
import SwiftOperators
import SwiftParser
import SwiftSyntax

// Prints the mutations of the files that are named, a JSON object a line, in the order of the files.
let encoder = JSONEncoder()
encoder.outputFormatting = .sortedKeys
for path in CommandLine.arguments.dropFirst() {
    let source = try String(contentsOfFile: path, encoding: .utf8)
    // An operator that is not the standard library's is left as it stands.
    let tree = OperatorTable.standardOperators.foldAll(Parser.parse(source: source)) { _ in }
    for mutation in MutationFinder(path, tree).found {
        print(String(decoding: try encoder.encode(mutation), as: UTF8.self))
    }
}
