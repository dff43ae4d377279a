/// The name of a VM or of a memory object, as a key.
///
/// Names are equal if their bytes are. Swift's strings are also equal if they only look alike:
/// a composed and a decomposed "é" would be one VM.
package struct Name: Hashable, Comparable, Sendable, ExpressibleByStringLiteral {
    package let text: String

    package init(_ text: String) { self.text = text }
    package init(stringLiteral text: String) { self.text = text }

    package static func == (left: Name, right: Name) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package static func < (left: Name, right: Name) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

/// Why a VM or a memory object can't have the name `name`; `nil` if it can.
///
/// A name is 1 to 128 bytes of UTF-8 without control characters and without `/`.
package func nameFault(_ name: String) -> String? {
    if name.isEmpty { return "a name has at least one byte" }
    if name.utf8.count > 128 { return "a name has at most 128 bytes" }
    for scalar in name.unicodeScalars {
        if scalar == "/" { return "a name has no \"/\"" }
        if scalar.properties.generalCategory == .control {
            return "a name has no control characters"
        }
    }
    return nil
}
