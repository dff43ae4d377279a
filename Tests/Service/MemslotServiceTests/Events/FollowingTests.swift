import Foundation
import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

@Suite("following a table")
struct FollowingTests {
    @Test("a follower that starts during commits has the exact table")
    func exact() throws {
        let service = MemslotService()
        let setup = WireClient(service)
        try setup.createVM("a")
        let rounds = 400
        let done = DispatchGroup()
        for writer in 0..<3 {
            done.enter()
            Thread.detachNewThread {
                let client = WireClient(service)
                for round in 0..<rounds {
                    // Some submit the present array, which is no event.
                    let address = String((round * 3 + writer) % 7 * 4096, radix: 16)
                    _ = try? client.submit("a", page(writer, at: "0x\(address)"))
                }
                done.leave()
            }
        }

        var followers: [(client: WireClient, generation: Int, slots: [String: String])] = []
        for _ in 0..<20 {
            let client = WireClient(service, queue: 100_000)
            let vm = try #require(
                try client.call("events.subscribe", "{\"vm\":\"a\"}").result?["vms"]?.list.first)
            var slots: [String: String] = [:]
            for slot in vm["slots"]?.list ?? [] {
                slots[slot["slot"]?.rawText ?? ""] = slot.rawText
            }
            followers.append((client, vm["generation"]?.int ?? -1, slots))
        }
        done.wait()

        let last = try #require(try setup.call("memslots.get", "{\"vm\":\"a\"}").result)
        let wanted = last["slots"]?.list.map(\.rawText).sorted()
        var gaps = 0
        for var follower in followers {
            for event in try follower.client.events().events {
                let params = try #require(event["params"])
                if params["previousGeneration"]?.int != follower.generation { gaps += 1 }
                follower.generation = params["generation"]?.int ?? -1
                for removed in params["diff"]?["removed"]?.list ?? [] {
                    follower.slots[removed.rawText] = nil
                }
                for slot in params["changed"]?.list ?? [] {
                    follower.slots[slot["slot"]?.rawText ?? ""] = slot.rawText
                }
            }
            #expect(follower.generation == last["generation"]?.int)
            #expect(follower.slots.values.sorted() == wanted)
        }
        #expect(gaps == 0)
        #expect((last["generation"]?.int ?? 0) > 100)
    }
}
