/// Cuts a stream of bytes into lines, in bounded memory.
///
/// A line longer than ``limit`` is cut there; no line that matters is so long.
struct LineSplitter {
    /// The longest line that is kept whole, in bytes.
    static let limit = 65_536

    private var carried: [UInt8] = []

    /// How many lines were cut at the limit.
    private(set) var overlongLines = 0
    private var isOverlong = false

    /// Hands out each line that `chunk` completes, without its end.
    mutating func split<Failure: Error>(
        _ chunk: ArraySlice<UInt8>,
        line: (ArraySlice<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        var rest = chunk
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let head = rest[..<end]
            rest = rest[(end + 1)...]
            if carried.isEmpty, head.count <= Self.limit {
                try line(head.withoutReturn)
            } else {
                carry(head)
                let whole = carried[...]
                carried = []
                isOverlong = false
                try line(whole.withoutReturn)
            }
        }
        carry(rest)
    }

    /// The last line, if the stream didn't end with a line's end.
    mutating func remainder() -> ArraySlice<UInt8>? {
        defer { carried = [] }
        return carried.isEmpty ? nil : carried[...].withoutReturn
    }

    private mutating func carry(_ bytes: ArraySlice<UInt8>) {
        let room = Self.limit - carried.count
        carried += bytes.prefix(room)
        if bytes.count > room, !isOverlong {
            isOverlong = true
            overlongLines += 1
        }
    }
}

extension ArraySlice<UInt8> {
    fileprivate var withoutReturn: ArraySlice<UInt8> {
        last == UInt8(ascii: "\r") ? dropLast() : self
    }
}
