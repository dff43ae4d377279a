import CLinux
import Glibc
import Testing

@testable import MemslotService

@Suite("descriptors that nobody has received")
struct QueuedDescriptorTests {
    /// A TCP socket with unsent bytes whose last close waits for some seconds, and its other end.
    private func lingering() throws -> (socket: Int32, peer: Int32) {
        let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, $0, &size) == 0 && Glibc.connect(client, $0, size) == 0
            }
        }
        try #require(isConnected)
        let peer = accept(listener, nil, nil)
        var patience = linger(l_onoff: 1, l_linger: 4)
        setsockopt(
            client, SOL_SOCKET, SO_LINGER, &patience, socklen_t(MemoryLayout<linger>.size))
        let bytes = [UInt8](repeating: 0, count: 1 << 20)
        while send(client, bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
        return (client, peer)
    }

    @Test("are closed by another process when their connection ends")
    func closed() throws {
        let launcher = try #require(RunningServer.launcher)
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let (socket, peer) = try lingering()
        defer { close(peer) }
        #expect(clinux_send(ends[1], "x", 1, [socket], 1, 1) == 1)
        close(socket)
        // What is left is that process, which hangs. Without it this would wait, and nothing be left.
        let left = try #require(PeerSocket(ends[0], launcher: launcher).close())
        close(ends[1])
        guard case .process = left else {
            Issue.record("\(left)")
            return
        }
        var rest: AbandonedSocket? = left
        for _ in 0..<10_000 where rest != nil {
            rest = rest?.retried()
            usleep(1_000)
        }
        #expect(rest == nil)
    }
}
