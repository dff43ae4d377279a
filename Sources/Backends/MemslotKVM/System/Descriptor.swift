import CKVM

/// A file descriptor, closed with its last user where it is ours to close.
final class Descriptor: Sendable {
    /// The number.
    let rawValue: Int32
    private let isOwned: Bool

    init(owning rawValue: Int32) {
        self.rawValue = rawValue
        self.isOwned = true
    }

    init(borrowing rawValue: Int32) {
        self.rawValue = rawValue
        self.isOwned = false
    }

    deinit {
        if isOwned { _ = ckvm_close(rawValue) }
    }
}
