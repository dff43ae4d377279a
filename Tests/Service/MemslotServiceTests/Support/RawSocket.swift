import Glibc

/// Messages that ``ClientConnection`` can't send.
enum RawSocket {
    /// Sends `text` with `times` copies of a descriptor in one message.
    static func send(_ text: String, _ descriptor: Int32, times: Int, to socket: Int32) -> Bool {
        // A control message: its length, SOL_SOCKET, SCM_RIGHTS, then the descriptors.
        let header = MemoryLayout<Int>.size + 2 * MemoryLayout<Int32>.size
        let length = header + times * MemoryLayout<Int32>.size
        var control = [Int32](repeating: descriptor, count: (length + 7) / 8 * 2)
        control[0] = Int32(length)
        control[1] = 0
        control[2] = SOL_SOCKET
        control[3] = 1
        var bytes = Array(text.utf8)
        return bytes.withUnsafeMutableBytes { bytes in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var message = msghdr()
                    message.msg_iov = vector
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    return sendmsg(socket, &message, Int32(MSG_NOSIGNAL)) == bytes.count
                }
            }
        }
    }
}
