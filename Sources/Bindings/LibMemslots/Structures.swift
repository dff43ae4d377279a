/// Structures that begin with their size, so that later versions can be longer.
///
/// A caller may pass a longer structure than this version knows, if the unknown rest is zero. The
/// kernel's `copy_struct_from_user` has the same rule.
enum SizedStructure {
    private static let maxSize = 4_096

    /// Reads a structure; `nil` if the pointer is `NULL`. `first` is the member that was added
    /// first after the structure was published: a caller whose structure ends before it has zero
    /// there.
    static func read<T>(
        _ pointer: UnsafePointer<T>?, before first: PartialKeyPath<T>? = nil
    ) throws(Problem) -> T? {
        guard let pointer else { return nil }
        let raw = UnsafeRawPointer(pointer)
        let least = first.flatMap(MemoryLayout<T>.offset(of:)) ?? MemoryLayout<T>.size
        let size = try size(at: raw, atLeast: least)
        for offset in MemoryLayout<T>.size..<max(size, MemoryLayout<T>.size)
        where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
            throw .badArgument(
                "the structure sets a member that this version does not know; leave it zero")
        }
        return withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { value in
            let bytes = UnsafeMutableRawBufferPointer(value)
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            bytes.copyMemory(from: .init(start: raw, count: min(size, bytes.count)))
            return value[0]
        }
    }

    /// Checks the size of a structure that the function fills.
    static func check<T>(_ pointer: UnsafeMutablePointer<T>) throws(Problem) {
        _ = try size(at: UnsafeRawPointer(pointer), atLeast: MemoryLayout<T>.size)
    }

    private static func size(
        at pointer: UnsafeRawPointer, atLeast least: Int
    ) throws(Problem) -> Int {
        let size = pointer.loadUnaligned(as: UInt.self)
        guard size >= UInt(least), size <= UInt(maxSize) else {
            throw .badArgument("struct_size is not the size of the structure; use MEMSLOTS_INIT")
        }
        return Int(size)
    }
}

/// Fills a caller's list with the elements that fit, and stores the number of all. Throws
/// ``Problem/tooSmall(capacity:count:)`` if some do not fit; the others are filled in.
func fill<Source: Collection, Element>(
    _ list: UnsafeMutablePointer<Element>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
    from source: Source, _ convert: (Source.Element) -> Element
) throws(Problem) {
    guard let count else { throw .badArgument("count is NULL") }
    guard list != nil || capacity == 0 else {
        throw .badArgument("the list is NULL, but the capacity is not 0")
    }
    guard capacity >= 0 else { throw .badArgument("the capacity is larger than any list") }
    count.pointee = source.count
    if let list {
        for (place, element) in zip(0..<capacity, source) {
            (list + place).initialize(to: convert(element))
        }
    }
    guard source.count <= capacity else { throw .tooSmall(capacity: capacity, count: source.count) }
}

/// A C string as a string. Invalid UTF-8 is replaced.
func string(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

/// Copies `text` into a fixed array of characters, truncated at a character boundary.
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

/// Functions and a context of the caller, which the library borrows.
// Sendable: the pointers are constant. The header states which threads call the functions; the
// caller makes the memory behind the context safe for them.
struct Borrowed<Value>: @unchecked Sendable {
    let value: Value
}
