internal import Glibc
internal import Memslots

/// The file descriptors that came with one line.
///
/// A request claims the one that it names; those that nobody claims are closed with this.
public final class PassedDescriptors: Sendable {
    private let descriptors: Locked<[Int32?]>

    /// Those of a line that none came with.
    static let none = PassedDescriptors()

    /// Takes over `descriptors`, in the order in which they came.
    public init(_ descriptors: [Int32] = []) {
        self.descriptors = Locked(descriptors.map { $0 })
    }

    deinit {
        for case let descriptor? in descriptors.withLock({ $0 }) { close(descriptor) }
    }

    /// Hands over the descriptor number `index` of the line; `nil` if there is none, or it has
    /// been claimed.
    public func claim(_ index: Int) -> Int32? {
        descriptors.withLock { descriptors in
            guard descriptors.indices.contains(index) else { return nil }
            defer { descriptors[index] = nil }
            return descriptors[index]
        }
    }
}
