internal import Glibc

/// A descriptor kept to be let go of, so that a peer can be told that there is none left.
struct SpareDescriptor: ~Copyable {
    private var descriptor: Int32 = -1

    /// Takes one.
    init() { take() }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Takes one again.
    mutating func take() {
        if descriptor < 0 { descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }

    /// Lets it go.
    ///
    /// - Returns: whether there was one.
    mutating func letGo() -> Bool {
        guard descriptor >= 0 else { return false }
        close(descriptor)
        descriptor = -1
        return true
    }
}
