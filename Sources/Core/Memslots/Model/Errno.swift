/// An error number of Linux, as a system call leaves it.
public struct Errno: Error, RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The number, 1 … 133.
    public var rawValue: Int32

    /// Wraps `rawValue`.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The number that `name`, such as `"ENOMEM"`, stands for; `nil` if Linux has no such name.
    public init?(name: String) {
        guard !name.isEmpty, let number = linuxErrnoNames.firstIndex(of: name) else { return nil }
        self.rawValue = Int32(number)
    }

    /// The symbolic name, such as `ENOMEM`; the number where Linux has no name for it.
    public var name: String {
        guard linuxErrnoNames.indices.contains(Int(rawValue)) else { return String(rawValue) }
        let name = linuxErrnoNames[Int(rawValue)]
        return name.isEmpty ? String(rawValue) : name
    }

    /// The symbolic name.
    public var description: String { name }

    /// No such slot, or it has no dirty bitmap. The corresponding C error is `ENOENT`.
    public static let noEntry = Errno(rawValue: 2)
    /// The VM is another process's, or dead. The corresponding C error is `EIO`.
    public static let ioError = Errno(rawValue: 5)
    /// A descriptor that is not open. The corresponding C error is `EBADF`.
    public static let badFileDescriptor = Errno(rawValue: 9)
    /// The kernel had no memory. The corresponding C error is `ENOMEM`.
    public static let outOfMemory = Errno(rawValue: 12)
    /// Memory that can't be read or written. The corresponding C error is `EFAULT`.
    public static let badAddress = Errno(rawValue: 14)
    /// A slot in the way. The corresponding C error is `EEXIST`.
    public static let fileExists = Errno(rawValue: 17)
    /// The request breaks a rule. The corresponding C error is `EINVAL`.
    public static let invalidArgument = Errno(rawValue: 22)
}
