internal import Glibc

/// A file descriptor that is closed with its last reference, unless it is only borrowed.
package final class OwnedDescriptor: Sendable {
    package let number: Int32
    private let closes: Bool

    package init(adopting number: Int32, closes: Bool = true) {
        (self.number, self.closes) = (number, closes)
    }

    deinit { if closes { close(number) } }
}

/// Returns a duplicate of a descriptor, close-on-exec, which the caller closes.
package func duplicate(_ descriptor: Int32) throws(Errno) -> Int32 {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw .last }
    return copy
}

package func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws(Errno) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count > 0 { rest = rest.dropFirst(count) }
        if count == 0 { throw Errno(rawValue: EIO) }
        if count < 0, errno != EINTR { throw .last }
    }
}
