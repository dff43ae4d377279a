import CLinux
import Glibc
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("descriptors that nobody has received")
struct QueuedDescriptorTests {
    @Test("are closed by another process when their connection ends")
    func closed() throws {
        let launcher = try #require(RunningServer.launcher)
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let (socket, release) = try lingeringSocket()
        #expect(clinux_send(ends[1], "x", 1, [socket], 1, 1) == 1)
        close(socket)
        // What is left is that process, which hangs. Without it this would wait, and nothing be left.
        let left = try #require(PeerSocket(ends[0], launcher: launcher).close())
        close(ends[1])
        guard case .process = left else {
            Issue.record("\(left)")
            return
        }
        close(release)
        var rest: AbandonedSocket? = left
        for _ in 0..<10_000 where rest != nil {
            rest = rest?.retried()
            usleep(1_000)
        }
        #expect(rest == nil)
    }
}
