/// The name of `names` that `name` was most likely meant to be; `nil` if none is near.
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

/// How many bytes must be changed, put in or taken out to make one of the other; case is free.
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

/// `text`, cut where it is too long for a message.
package func shortened(_ text: String) -> String {
    text.unicodeScalars.count <= 64
        ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(64))) + "…"
}
