internal import Glibc
internal import Memslots

/// A file descriptor that is closed with its last reference.
package final class OwnedDescriptor: Sendable {
    package let number: Int32

    /// Adopts `number`.
    package init(adopting number: Int32) { self.number = number }

    /// Duplicates `number`, close-on-exec.
    init(duplicating number: Int32) throws(VhostUserError) {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .systemCall("fcntl", .last) }
        self.number = copy
    }

    deinit { close(number) }
}

/// Returns the value of a call of CLinux, which is minus errno on failure.
func valueOfCall<Value: BinaryInteger>(
    _ name: String, _ value: Value
) throws(VhostUserError) -> Value {
    try converting({ VhostUserError.systemCall(name, $0) }, valueOfCall(value))
}
