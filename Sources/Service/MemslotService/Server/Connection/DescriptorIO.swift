internal import CLinux
internal import Glibc

/// Reading and writing a stream, with descriptors where it is a socket.
enum DescriptorIO {
    /// Waits for bytes, and appends them. Returns how many; 0 at the end; a negative errno.
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
        return receive(into: &buffer) { room, slots, number, truncated in
            clinux_receive(descriptor, room.baseAddress, room.count, slots, &number, &truncated)
        }
    }

    /// Appends the bytes and the descriptors that `call` stores. Returns the value of `call`.
    static func receive(
        into buffer: inout LineBuffer,
        _ call: (
            UnsafeMutableRawBufferPointer, UnsafeMutablePointer<Int32>?, inout Int32, inout Int32
        ) -> Int
    ) -> Int {
        var passed: [Int32] = []
        var isTruncated = false
        let count = buffer.fill { room in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLINUX_DESCRIPTORS)) {
                slots in
                var number: Int32 = 0
                var truncated: Int32 = 0
                let count = call(room, slots.baseAddress, &number, &truncated)
                isTruncated = truncated != 0
                if number > 0 { passed = Array(slots[..<Int(number)]) }
                return count
            }
        }
        if !passed.isEmpty || isTruncated { buffer.attach(passed, isTruncated: isTruncated) }
        return count
    }

    /// Sends all bytes, `descriptors` with the first. Returns whether all were sent.
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
}
