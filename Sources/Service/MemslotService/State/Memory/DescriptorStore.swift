public import Memslots

/// Keeps open descriptors when this process ends, however it does: systemd's descriptor store.
///
/// Call from any thread.
public protocol DescriptorStore: Sendable {
    /// Hands over the descriptor of this name that the process before this one left, once.
    func take(_ name: String) -> Int32?

    /// The names of the descriptors that are left.
    var left: [String] { get }

    /// Keeps a copy of `descriptor`, which stays the caller's.
    ///
    /// - Throws: why it can't be kept; `ENOSPC` where the store is full.
    func keep(_ descriptor: Int32, as name: String) throws(Errno)

    /// Lets go of what has this name.
    func drop(_ name: String)
}
