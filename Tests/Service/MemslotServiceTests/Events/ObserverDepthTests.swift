import Glibc
import MemslotService
import Memslots
import Testing
import WireTestSupport

@Suite("the observer of all tables")
struct ObserverDepthTests {
    @Test("a thousand commits do not deepen the stack on which it is called")
    func depth() throws {
        let service = MemslotService()
        let client = WireClient(service, queue: 64)
        let depths = Locked<[Int]>([])
        service.observeTables { _, _, _ in
            var here = 0
            let address = withUnsafeMutablePointer(to: &here) { Int(bitPattern: $0) }
            depths.withLock { $0.append(address) }
        }
        try client.createVM("a")
        for commit in 0..<1_000 {
            try client.submit("a", page(0, at: "0x\(String((commit % 7 + 1) * 4_096, radix: 16))"))
        }
        let seen = depths.withLock { $0 }
        #expect(seen.count == 1_000)
        let first = try #require(seen.first)
        let deepest = try #require(seen.min())
        // Both calls have the same frames on one thread.
        #expect(abs(first - deepest) < 16_384)
    }
}
