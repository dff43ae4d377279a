internal import CLinux
internal import Glibc

/// Reading and writing a stream, with descriptors where it is a socket.
enum DescriptorIO {
    /// Waits for bytes, and appends them to `buffer`.
    ///
    /// - Returns: how many bytes; 0 at the stream's end; a negative errno.
    static func receive(
        from descriptor: Int32, isSocket: Bool, into buffer: inout LineBuffer
    ) -> Int {
        guard isSocket else {
            return buffer.fill { room in
                while true {
                    let count = read(descriptor, room.baseAddress, room.count)
                    if count >= 0 { return count }
                    if errno != EINTR { return -Int(errno) }
                }
            }
        }
        var passed: [Int32] = []
        var isTruncated = false
        let count = buffer.fill { room in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLINUX_DESCRIPTORS)) {
                slots in
                var number: Int32 = 0
                var truncated: Int32 = 0
                let count = clinux_receive(
                    descriptor, room.baseAddress, room.count, slots.baseAddress, &number,
                    &truncated)
                isTruncated = truncated != 0
                if number > 0 { passed = Array(slots[..<Int(number)]) }
                return count
            }
        }
        if !passed.isEmpty || isTruncated { buffer.attach(passed, isTruncated: isTruncated) }
        return count
    }

    /// Sends all of `bytes`, and `descriptors` with the first of them.
    ///
    /// - Returns: whether all bytes were sent.
    static func send(
        _ bytes: [UInt8], descriptors: [Int32] = [], to descriptor: Int32, isSocket: Bool,
        waits: Bool = true
    ) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                let passed = sent == 0 && isSocket ? descriptors : []
                let count =
                    isSocket
                    ? clinux_send(
                        descriptor, rest.baseAddress, rest.count, passed, Int32(passed.count),
                        waits ? 1 : 0)
                    : write(descriptor, rest.baseAddress, rest.count)
                if count < 0 && !isSocket && errno == EINTR { continue }
                if count <= 0 { return false }
                sent += count
            }
            return true
        }
    }

    /// Ends sending to a peer that may still be sending, then discards what the peer sends, for at
    /// most a second.
    ///
    /// If the socket were closed at once, the peer's write would fail, and the peer might not read
    /// the error that was sent.
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
