internal import CLinux
internal import Glibc
internal import Synchronization

/// Says to all threads of a server that it takes no more requests, those in `poll(2)` too.
final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    /// Readable once the flag is set.
    private let descriptor: Int32

    /// A flag that is not set. Where no event descriptor can be had, nobody in `poll(2)` is woken.
    init() { descriptor = clinux_eventfd() }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Whether it is set.
    var isSet: Bool { flag.load(ordering: .acquiring) }

    /// Sets it, for good.
    ///
    /// - Returns: whether it had not been set.
    @discardableResult
    func set() -> Bool {
        let wasSet = flag.exchange(true, ordering: .acquiringAndReleasing)
        var one: UInt64 = 1
        if !wasSet { _ = write(descriptor, &one, MemoryLayout<UInt64>.size) }
        return !wasSet
    }

    /// Waits until `input` can be read.
    ///
    /// - Returns: false where the flag is set.
    func waits(for input: Int32) -> Bool {
        var descriptors = [
            pollfd(fd: input, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while !isSet {
            let count = poll(&descriptors, 2, -1)
            if count < 0 && errno != EINTR { return false }
            if count > 0 && descriptors[1].revents == 0 { return true }
        }
        return false
    }
}
