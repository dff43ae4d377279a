/// A structure that begins with its size, so that later versions can be longer.
///
/// A program that was compiled with a longer one may hand it in as long as what this version does
/// not know is zero, as the kernel's `copy_struct_from_user` has it.
enum SizedStructure {
    private static let most = 4_096

    /// Reads a structure; `nil` where the pointer is.
    static func read<T>(_ pointer: UnsafePointer<T>?) throws(Problem) -> T? {
        guard let pointer else { return nil }
        let raw = UnsafeRawPointer(pointer)
        let size = try size(at: raw, atLeast: MemoryLayout<T>.size)
        for offset in MemoryLayout<T>.size..<size
        where raw.load(fromByteOffset: offset, as: UInt8.self) != 0 {
            throw .badArgument(
                "the structure sets a member that this version does not know; leave it zero")
        }
        return pointer.pointee
    }

    /// Checks a structure that is to be filled.
    static func check<T>(_ pointer: UnsafeMutablePointer<T>) throws(Problem) {
        _ = try size(at: UnsafeRawPointer(pointer), atLeast: MemoryLayout<T>.size)
    }

    private static func size(
        at pointer: UnsafeRawPointer, atLeast least: Int
    ) throws(Problem) -> Int {
        let size = pointer.loadUnaligned(as: UInt.self)
        guard size >= UInt(least), size <= UInt(most) else {
            throw .badArgument("struct_size is not the size of the structure; use MEMSLOTS_INIT")
        }
        return Int(size)
    }
}
