/// Scans one JSON text into a tape, in one pass and without recursion.
///
/// The stack of open containers is the tape itself: while a container is open, the extent of its
/// opening node is the index of the container around it.
struct JSONScanner {
    // A pointer, because a bounds check of every byte halves the speed. `end` bounds every read.
    let base: UnsafePointer<UInt8>
    var at: Int
    let end: Int
    var tape: JSONTape
    let depthLimit: Int

    private(set) var depth = 0
    /// The innermost open container, −1 outside of all.
    private(set) var container = -1
    private(set) var isInObject = false

    /// The byte at the cursor; 0 at the end, which JSON does not contain outside of strings.
    @inline(__always)
    var byte: UInt8 { at < end ? base[at] : 0 }

    mutating func scan() throws(JSONFault) {
        skipBlanks()
        guard at < end else { throw JSONFault(problem: .empty, offset: at) }
        while true {
            if try scanValue() { continue }
            if try !scanAfterValue() { break }
        }
        skipBlanks()
        guard at == end else { throw JSONFault(problem: .trailing, offset: at) }
    }

    /// Scans the value at the cursor. Returns whether another value must follow at once: the first
    /// of a container.
    @inline(__always)
    private mutating func scanValue() throws(JSONFault) -> Bool {
        switch byte {
        case UInt8(ascii: "\""): try scanString()
        case UInt8(ascii: "{"):
            try open(.object)
            if byte == UInt8(ascii: "}") { break }
            try scanName()
            return true
        case UInt8(ascii: "["):
            try open(.array)
            return byte != UInt8(ascii: "]")
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): try scanNumber()
        case UInt8(ascii: "t"): try scanLiteral(.true, "true")
        case UInt8(ascii: "f"): try scanLiteral(.false, "false")
        case UInt8(ascii: "n"): try scanLiteral(.null, "null")
        default: throw JSONFault(problem: .noValue, offset: at)
        }
        return false
    }

    /// Scans what follows a value, including the ends of containers. Returns whether another value
    /// must follow; `false` at the end of the outermost one.
    @inline(__always)
    private mutating func scanAfterValue() throws(JSONFault) -> Bool {
        while container >= 0 {
            skipBlanks()
            let next = byte
            // An empty container arrives here too, with its closing bracket at the cursor.
            if next == (isInObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                close()
            } else if next == UInt8(ascii: ",") {
                at += 1
                skipBlanks()
                if isInObject { try scanName() }
                return true
            } else {
                throw JSONFault(
                    problem: isInObject ? .noCommaInObject : .noCommaInArray, offset: at)
            }
        }
        return false
    }

    @inline(__always)
    private mutating func open(_ kind: JSONKind) throws(JSONFault) {
        guard depth < depthLimit else {
            throw JSONFault(problem: .tooDeep(limit: depthLimit), offset: at)
        }
        depth += 1
        let index = tape.count
        tape.append(JSONNode(kind, offset: at, extent: container + 1))
        container = index
        isInObject = kind == .object
        at += 1
        skipBlanks()
    }

    @inline(__always)
    private mutating func close() {
        let parent = tape.base[container].extent - 1
        tape.setExtent(tape.count, at: container)
        tape.append(JSONNode(endAt: at))
        at += 1
        depth -= 1
        container = parent
        isInObject = parent >= 0 && tape.base[parent].isObject
    }

    /// Scans a member's name and the colon after it.
    @inline(__always)
    private mutating func scanName() throws(JSONFault) {
        guard byte == UInt8(ascii: "\"") else { throw JSONFault(problem: .noName, offset: at) }
        try scanString()
        skipBlanks()
        guard byte == UInt8(ascii: ":") else { throw JSONFault(problem: .noColon, offset: at) }
        at += 1
        skipBlanks()
    }

    @inline(__always)
    mutating func skipBlanks() {
        while at < end {
            switch base[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    private mutating func scanLiteral(_ kind: JSONKind, _ text: StaticString) throws(JSONFault) {
        let length = text.utf8CodeUnitCount
        for index in 0..<length where at + index >= end || base[at + index] != text.utf8Start[index]
        {
            throw JSONFault(problem: .noValue, offset: at)
        }
        tape.append(JSONNode(kind, offset: at, extent: length))
        at += length
    }
}
