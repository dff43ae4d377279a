internal import Glibc

/// An error number of Linux, as a system call returns it.
public struct Errno: Error, RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The number, 1 … 133.
    public var rawValue: Int32

    /// Creates the error number `rawValue`.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Creates the error number that `name` stands for, such as `"ENOMEM"`; `nil` if Linux has no
    /// such name.
    public init?(name: String) {
        guard !name.isEmpty, let number = linuxErrnoNames.firstIndex(of: name) else { return nil }
        self.rawValue = Int32(number)
    }

    /// The error of this thread's last call of the C library that failed.
    package static var last: Errno { Errno(rawValue: errno) }

    /// The symbolic name, such as `ENOMEM`; the number where Linux has no name for it.
    public var name: String {
        guard linuxErrnoNames.indices.contains(Int(rawValue)) else { return String(rawValue) }
        let name = linuxErrnoNames[Int(rawValue)]
        return name.isEmpty ? String(rawValue) : name
    }

    /// A sentence that names the error.
    public var message: String { "the call failed with \(name)" }

    /// The symbolic name.
    public var description: String { name }

    /// No such slot, or it has no dirty bitmap. The corresponding C error is `ENOENT`.
    public static let noEntry = Errno(rawValue: 2)
    /// The VM belongs to another process, or is dead. The corresponding C error is `EIO`.
    public static let ioError = Errno(rawValue: 5)
    /// The descriptor is not open. The corresponding C error is `EBADF`.
    public static let badFileDescriptor = Errno(rawValue: 9)
    /// The kernel had no memory. The corresponding C error is `ENOMEM`.
    public static let outOfMemory = Errno(rawValue: 12)
    /// The memory can't be read or written. The corresponding C error is `EFAULT`.
    public static let badAddress = Errno(rawValue: 14)
    /// The range is occupied. The corresponding C error is `EEXIST`.
    public static let fileExists = Errno(rawValue: 17)
    /// The request breaks a rule. The corresponding C error is `EINVAL`.
    public static let invalidArgument = Errno(rawValue: 22)
    /// vCPUs did not leave in time. The corresponding C error is `ETIMEDOUT`.
    public static let timedOut = Errno(rawValue: 110)
}

/// Returns the value of a call that returns minus its errno on failure, as those of CLinux do.
package func valueOfCall<Value: BinaryInteger>(_ value: Value) throws(Errno) -> Value {
    guard value >= 0 else { throw Errno(rawValue: 0 - Int32(value)) }
    return value
}

/// Returns the value of `body`. An error of `body` is thrown as what `convert` makes of it.
@inlinable
package func converting<R, E: Error, F: Error>(
    _ convert: (E) -> F, _ body: @autoclosure () throws(E) -> R
) throws(F) -> R {
    do throws(E) { return try body() } catch { throw convert(error) }
}

/// The symbolic names of Linux's error numbers, as on x86-64 and arm64, by number.
///
/// Empty where a number has no name. Source: include/uapi/asm-generic/errno-base.h and errno.h.
private let linuxErrnoNames: [String] = [
    "", "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF",
    "ECHILD", "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV",
    "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG",
    "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENAMETOOLONG",
    "ENOLCK", "ENOSYS", "ENOTEMPTY", "ELOOP", "", "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC",
    "EL3HLT", "EL3RST", "ELNRNG", "EUNATCH", "ENOCSI", "EL2HLT", "EBADE", "EBADR", "EXFULL",
    "ENOANO", "EBADRQC", "EBADSLT", "", "EBFONT", "ENOSTR", "ENODATA", "ETIME", "ENOSR", "ENONET",
    "ENOPKG", "EREMOTE", "ENOLINK", "EADV", "ESRMNT", "ECOMM", "EPROTO", "EMULTIHOP", "EDOTDOT",
    "EBADMSG", "EOVERFLOW", "ENOTUNIQ", "EBADFD", "EREMCHG", "ELIBACC", "ELIBBAD", "ELIBSCN",
    "ELIBMAX", "ELIBEXEC", "EILSEQ", "ERESTART", "ESTRPIPE", "EUSERS", "ENOTSOCK", "EDESTADDRREQ",
    "EMSGSIZE", "EPROTOTYPE", "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP",
    "EPFNOSUPPORT", "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH",
    "ENETRESET", "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN", "ENOTCONN", "ESHUTDOWN",
    "ETOOMANYREFS", "ETIMEDOUT", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY",
    "EINPROGRESS", "ESTALE", "EUCLEAN", "ENOTNAM", "ENAVAIL", "EISNAM", "EREMOTEIO", "EDQUOT",
    "ENOMEDIUM", "EMEDIUMTYPE", "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED",
    "EKEYREJECTED", "EOWNERDEAD", "ENOTRECOVERABLE", "ERFKILL", "EHWPOISON",
]
