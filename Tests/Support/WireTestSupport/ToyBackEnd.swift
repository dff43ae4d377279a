import CLinux
import Glibc
import Memslots

/// A vhost-user back end in a thread, which executes nothing, acknowledges everything, and records
/// what it was sent.
package final class ToyBackEnd: Sendable {
    /// A message: its number in the protocol, and how many descriptors came with its first byte.
    package struct Message: Hashable, Sendable {
        package var request: UInt32
        package var descriptors: Int

        package init(_ request: UInt32, descriptors: Int = 0) {
            (self.request, self.descriptors) = (request, descriptors)
        }
    }

    package static let setTable: UInt32 = 5
    package static let addRegion: UInt32 = 37
    package static let removeRegion: UInt32 = 38

    private struct State {
        var messages: [Message] = []
        var isOver = false
    }

    /// The end for a front end. The caller closes it.
    package let socket: Int32
    private let state = Locked(State())

    package init() throws {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
        socket = ends[0]
        let own = ends[1]
        try OwnThread { [self] in
            while let message = receive(own) {
                state.withLock { $0.messages.append(message.0) }
                guard let reply = message.reply else { continue }
                clinux_send(own, reply, reply.count, [], 0, 1)
            }
            close(own)
            state.change { $0.isOver = true }
        }.detach()
    }

    /// The memory messages since the last call: tables, regions added and removed.
    package func removeMemoryMessages() -> [Message] {
        state.withLock { state in
            defer { state.messages = [] }
            return state.messages.filter {
                [Self.setTable, Self.addRegion, Self.removeRegion].contains($0.request)
            }
        }
    }

    /// Waits until the front end has hung up.
    package func waitUntilOver() { state.withLock(waitingWhile: { !$0.isOver }) { _ in } }

    private func receive(_ socket: Int32) -> (Message, reply: [UInt8]?)? {
        var words = [UInt32](repeating: 0, count: 3)
        var descriptors = [Int32](repeating: -1, count: Int(CLINUX_DESCRIPTORS))
        var (count, truncated): (Int32, Int32) = (0, 0)
        guard clinux_receive(socket, &words, 12, &descriptors, &count, &truncated) == 12 else {
            return nil
        }
        for descriptor in descriptors.prefix(Int(count)) { close(descriptor) }
        var payload = [UInt8](repeating: 0, count: Int(words[2]))
        while words[2] > 0, recv(socket, &payload, payload.count, Int32(MSG_WAITALL)) < 0 {}
        let message = Message(words[0], descriptors: Int(count))
        // GET_FEATURES, GET_PROTOCOL_FEATURES: REPLY_ACK and CONFIGURE_MEM_SLOTS, GET_MAX_MEM_SLOTS.
        let values: [UInt32: UInt64] = [1: 1 << 30 | 1 << 32, 15: 1 << 3 | 1 << 15, 36: 32]
        guard let value = values[words[0]] ?? (words[1] & 8 != 0 ? 0 : nil) else {
            return (message, nil)
        }
        var reply: [UInt8] = []
        for word in [words[0], 5, 8] { withUnsafeBytes(of: word) { reply += $0 } }
        withUnsafeBytes(of: value) { reply += $0 }
        return (message, reply)
    }
}

/// A TCP socket whose last close waits until `release` is closed.
package func lingeringSocket() throws -> (socket: Int32, release: Int32) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let isConnected = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(listener, $0, size) == 0 && listen(listener, 1) == 0
                && getsockname(listener, $0, &size) == 0 && connect(client, $0, size) == 0
        }
    }
    guard isConnected else { throw Errno(rawValue: errno) }
    let peer = accept(listener, nil, nil)
    var patience = linger(l_onoff: 1, l_linger: 1_000)
    setsockopt(client, SOL_SOCKET, SO_LINGER, &patience, socklen_t(MemoryLayout<linger>.size))
    let bytes = [UInt8](repeating: 0, count: 1 << 20)
    while send(client, bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
    return (client, peer)
}
