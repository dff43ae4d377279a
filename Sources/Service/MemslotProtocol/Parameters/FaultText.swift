extension JSONDocument {
    /// The path from the value at `root` to the one at `node` within it, such as `slots[3].size`.
    ///
    /// Only for messages: it walks the tape, so that readers need not keep a path.
    func path(from root: Int, to node: Int) -> String {
        var path = ""
        var container = root
        while container != node, nodes[container].isContainer {
            let end = nodes[container].extent
            let isObject = nodes[container].isObject
            var child = container + 1
            var index = 0
            while child < end {
                let value = isObject ? child + 1 : child
                let following = next(after: value)
                if node < following {
                    if isObject {
                        if !path.isEmpty { path += "." }
                        path += pathComponent(text(of: child))
                    } else {
                        path += "[\(index)]"
                    }
                    container = value
                    break
                }
                child = following
                index += 1
            }
            if child >= end { break }
        }
        return path
    }
}

/// A member's name in a path: quoted if it has characters other than letters, digits, `_`, `-`.
package func pathComponent(_ name: String) -> String {
    let isPlain =
        !name.isEmpty
        && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_" || $0 == "-" }
    let name = shortened(name)
    return isPlain ? name : "\"\(name)\""
}

/// The name of `names` that `name` most likely misspells; `nil` if none is similar.
package func nearestName(to name: String, among names: [String]) -> String? {
    let given = Array(name.utf8.prefix(65))
    guard given.count <= 64 else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in names {
        let distance = editDistance(given, Array(candidate.utf8))
        if distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    guard let best, best.distance * 2 <= max(best.name.utf8.count, given.count) else { return nil }
    return best.name
}

/// How many bytes must be replaced, inserted or removed to turn one text into the other. Upper and
/// lower case are equal.
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    func lowered(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
    var row = Array(0...right.count)
    for (line, byte) in left.enumerated() {
        var diagonal = row[0]
        row[0] = line + 1
        for (column, other) in right.enumerated() {
            let substituted = diagonal + (lowered(byte) == lowered(other) ? 0 : 1)
            diagonal = row[column + 1]
            row[column + 1] = min(substituted, diagonal + 1, row[column] + 1)
        }
    }
    return row[right.count]
}

package func shortened(_ text: String) -> String {
    text.unicodeScalars.count <= 64
        ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(64))) + "…"
}
