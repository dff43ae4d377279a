internal import Glibc
internal import Memslots

/// The file descriptors that are passed with one line.
///
/// A request claims the descriptor that it names. Descriptors that nobody claims are closed with
/// this object.
public final class PassedDescriptors: Sendable {
    private let descriptors: Locked<[Int32?]>

    /// No descriptors.
    public static let none = PassedDescriptors([])

    /// Adopts `descriptors`, in the order in which they were passed.
    public init(_ descriptors: [Int32]) {
        self.descriptors = Locked(descriptors.map { $0 })
    }

    deinit {
        for case let descriptor? in descriptors.withLock({ $0 }) { close(descriptor) }
    }

    /// Transfers the descriptor number `index` of the line to the caller.
    ///
    /// - Returns: `nil` if there is none, or it has been claimed.
    public func claim(_ index: Int) -> Int32? {
        descriptors.withLock { descriptors in
            guard descriptors.indices.contains(index) else { return nil }
            defer { descriptors[index] = nil }
            return descriptors[index]
        }
    }

    /// Transfers all descriptors that are left to the caller.
    public func claimAll() -> [Int32] {
        descriptors.withLock { descriptors in
            defer { descriptors = [] }
            return descriptors.compactMap { $0 }
        }
    }

    /// The descriptors that are left, which stay this object's.
    package var open: [Int32] { descriptors.withLock { $0.compactMap { $0 } } }
}
