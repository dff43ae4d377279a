internal import Glibc

/// The end of a connection whose peer may still be sending.
enum Lingering {
    /// Ends sending, and reads for up to a second what the peer still sends.
    ///
    /// Without it the peer's own write fails, and it may never read why.
    static func drain(_ socket: Int32) {
        shutdown(socket, Int32(SHUT_WR))
        var limit = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(
            socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let deadline = now + 1_000
        withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { room in
            while now < deadline {
                let count = recv(socket, room.baseAddress, room.count, 0)
                if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return }
            }
        }
    }

    /// Milliseconds of the monotonic clock.
    private static var now: Int {
        var moment = timespec()
        clock_gettime(CLOCK_MONOTONIC, &moment)
        return moment.tv_sec * 1_000 + moment.tv_nsec / 1_000_000
    }
}
