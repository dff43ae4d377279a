internal import CLinux
internal import Glibc
package import Memslots

/// Sends and receives whole messages on a stream socket, under deadlines.
package struct PeerSocket: Sendable {
    package let descriptor: OwnedDescriptor

    package init(descriptor: OwnedDescriptor) { self.descriptor = descriptor }

    /// A message with the descriptors that came with it.
    package struct Message {
        package var header: WireHeader
        package var payload: [UInt8]
        var descriptors: [OwnedDescriptor]
    }

    /// Sends `bytes`; `descriptors` go with the first of them.
    package func send(
        _ bytes: [UInt8], descriptors: [Int32] = [], during step: String, by deadline: Deadline
    ) throws(VhostUserError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                clinux_send(
                    self.descriptor.number, buffer.baseAddress.map { $0 + sent },
                    buffer.count - sent, descriptors, sent == 0 ? Int32(descriptors.count) : 0, 0)
            }
            switch count {
            case let count where count >= 0: sent += count
            case -Int(EAGAIN): try wait(for: POLLOUT, during: step, by: deadline)
            case -Int(EPIPE), -Int(ECONNRESET): throw .closed(during: step)
            default: throw .systemCall("sendmsg", Errno(rawValue: Int32(-count)))
            }
        }
    }

    /// Receives one message. Meanwhile the input of `other` is handled while `handle` returns true.
    package func receive(
        during step: String, by deadline: Deadline,
        beside other: (descriptor: Int32, handle: () throws(VhostUserError) -> Bool)? = nil
    ) throws(VhostUserError) -> Message {
        var descriptors: [OwnedDescriptor] = []
        func bytes(_ count: Int) throws(VhostUserError) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            var received = 0
            while received < count {
                try wait(for: POLLIN, during: step, by: deadline, beside: other)
                received += try receive(into: &bytes, from: received, &descriptors, during: step)
            }
            return bytes
        }
        let headerBytes = try bytes(WireHeader.size)
        guard let header = WireHeader(headerBytes), header.size <= WireHeader.payloadLimit else {
            throw .malformed(in: step, reason: "a message of over \(WireHeader.payloadLimit) bytes")
        }
        let payload = try bytes(Int(header.size))
        return Message(header: header, payload: payload, descriptors: descriptors)
    }

    private func receive(
        into bytes: inout [UInt8], from start: Int, _ descriptors: inout [OwnedDescriptor],
        during step: String
    ) throws(VhostUserError) -> Int {
        var numbers = [Int32](repeating: -1, count: Int(CLINUX_DESCRIPTORS))
        var (descriptorCount, truncated): (Int32, Int32) = (0, 0)
        let count = bytes.withUnsafeMutableBytes { buffer in
            clinux_receive(
                descriptor.number, buffer.baseAddress.map { $0 + start }, buffer.count - start,
                &numbers, &descriptorCount, &truncated)
        }
        let received = numbers.prefix(Int(descriptorCount))
        descriptors += received.map { OwnedDescriptor(adopting: $0) }
        if count == 0 || count == -Int(ECONNRESET) { throw .closed(during: step) }
        if truncated != 0 {
            throw .wrongDescriptorCount(
                in: step, count: Int(CLINUX_DESCRIPTORS) + 1, expected: Int(CLINUX_DESCRIPTORS))
        }
        return try valueOfCall("recvmsg", count)
    }

    /// Throws if the peer has sent something, or has closed its end.
    func requireSilence(before request: VhostUserRequest) throws(VhostUserError) {
        var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 0) > 0 else { return }
        var byte: UInt8 = 0
        let count = recv(descriptor.number, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        throw count > 0 ? .unsolicited(before: request) : .closed(during: request.name)
    }

    private func wait(
        for events: Int32, during step: String, by deadline: Deadline,
        beside other: (descriptor: Int32, handle: () throws(VhostUserError) -> Bool)? = nil
    ) throws(VhostUserError) {
        var other = other
        while true {
            var entries = [
                pollfd(fd: descriptor.number, events: Int16(events), revents: 0),
                pollfd(fd: other?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&entries, 2, deadline.pollTimeout)
            if count < 0 && errno != EINTR { throw .systemCall("poll", .last) }
            if count == 0 && deadline.hasPassed { throw .timeout(during: step) }
            if count <= 0 { continue }
            if entries[1].revents != 0, let handle = other?.handle, try !handle() { other = nil }
            if entries[0].revents != 0 { return }
        }
    }
}

extension OwnedDescriptor {
    /// Duplicates `number`, close-on-exec.
    convenience init(duplicating number: Int32) throws(VhostUserError) {
        self.init(
            adopting: try converting({ VhostUserError.systemCall("fcntl", $0) }, duplicate(number)))
    }
}

/// Returns the value of a call of CLinux, which is minus errno on failure.
func valueOfCall<Value: BinaryInteger>(
    _ name: String, _ value: Value
) throws(VhostUserError) -> Value {
    try converting({ VhostUserError.systemCall(name, $0) }, valueOfCall(value))
}

extension Deadline {
    /// The time that is left as `poll` counts it, rounded up.
    fileprivate var pollTimeout: Int32 {
        remaining.map { Int32(clamping: ($0.wholeNanoseconds + 999_999) / 1_000_000) } ?? -1
    }
}
