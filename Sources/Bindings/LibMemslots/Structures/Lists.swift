/// Fills a list of C's with as much as fits, and tells how many there are.
///
/// - Throws: ``Problem/tooSmall(capacity:count:)`` if not all fit; those that do are filled in.
func fill<Source: Collection, Element>(
    _ list: UnsafeMutablePointer<Element>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?, from source: Source,
    _ convert: (Source.Element) -> Element
) throws(Problem) -> Int32 {
    guard let count else { throw .badArgument("count is NULL") }
    guard list != nil || capacity == 0 else {
        throw .badArgument("the list is NULL, with a capacity that is not 0")
    }
    guard capacity >= 0 else { throw .badArgument("the capacity is more than there is memory") }
    count.pointee = source.count
    if let list {
        for (place, element) in zip(0..<capacity, source) {
            (list + place).initialize(to: convert(element))
        }
    }
    guard source.count <= capacity else {
        throw .tooSmall(capacity: capacity, count: source.count)
    }
    return ok
}

/// A string of C's, with anything that is no UTF-8 replaced.
func string(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

/// Copies `text` into a fixed array of characters, cut at a character where it is too long.
func copy<Characters>(_ text: String, into characters: inout Characters) {
    withUnsafeMutableBytes(of: &characters) { bytes in
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        var end = 0
        for character in text.unicodeScalars {
            let encoded = UTF8.encode(character).map(Array.init) ?? []
            guard end + encoded.count < bytes.count else { break }
            for byte in encoded {
                bytes[end] = byte
                end += 1
            }
        }
    }
}
