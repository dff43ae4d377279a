import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("events on the wire")
    struct EventTests {
        private static let subscribe = #"{"id":1,"method":"events.subscribe","params":{"vm":"a"}}"#

        @Test("the snapshot is followed by every change after it, while others commit")
        func noGap() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let committer = Committer(server, vm: "a")
            var faults: [String] = []
            for _ in 0..<20 {
                var follower = try server.connect()
                let answer = try follower.ask(Self.subscribe)
                let snapshot = answer["result"]?["vms"]?.elements.first { _ in true }
                guard var generation = snapshot?["generation"]?.int else {
                    faults.append("the first line is \(answer.rawText)")
                    continue
                }
                for _ in 0..<20 {
                    let event = try follower.next()
                    let params = event["params"]
                    if event["method"]?.string != "memslots.committed"
                        || params?["previousGeneration"]?.int != generation
                    {
                        faults.append("after \(generation): \(event.rawText)")
                    }
                    generation = params?["generation"]?.int ?? 0
                }
            }
            committer.stop()
            #expect(faults.isEmpty)
        }

        @Test("the reply to a submit precedes the event of its commit, while others commit")
        func replyFirst() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            try client.makeVM("b")
            let committer = Committer(server, vm: "b")
            #expect(try client.ask(Self.subscribe)["result"] != nil)
            var faults: [String] = []
            for id in 2...1_000 {
                try client.send(Line.submit("a", id: id, pages: id) + "\n")
                let lines = [try client.next(), try client.next()]
                if lines[0]["id"]?.int != id || lines[1]["method"]?.string != "memslots.committed" {
                    faults.append("\(lines.map(\.rawText))")
                }
            }
            committer.stop()
            #expect(faults.isEmpty, "\(faults.count), first \(faults.first ?? "")")
        }

        @Test(
            "a subscriber that does not read loses the oldest, is notified how many, delays no commit"
        )
        func slowSubscriber() throws {
            var limits = ServiceLimits()
            limits.queuedEvents = 8
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            try client.makeVM("a")
            var slow = try server.connect()
            #expect(try slow.ask(Self.subscribe)["result"] != nil)
            let commits = 2_000
            for id in 1...commits {
                let answer = try client.ask(Line.submit("a", id: id, pages: id))
                guard answer["result"] != nil else { throw TargetLost(answer.rawText) }
            }
            var received = 0
            var dropped = 0
            var last = 0
            var faults: [String] = []
            while last < commits {
                let event = try slow.next()
                if event["method"]?.string == "events.dropped" {
                    let count = event["params"]?["count"]?.int ?? 0
                    dropped += count
                    last += count
                } else {
                    received += 1
                    last += 1
                    if event["params"]?["generation"]?.int != last {
                        faults.append("\(last): \(event.rawText)")
                    }
                }
            }
            #expect(faults.isEmpty)
            #expect(dropped > 0)
            #expect(received + dropped == commits)
        }

        @Test("a subscriber that goes while others commit leaves nothing behind")
        // In a process of its own: what that has open is counted.
        func gone() async {
            await #expect(processExitsWith: .success) {
                let server = try RunningServer()
                var client = try server.connect()
                try client.makeVM("a")
                let before = OpenDescriptors.count("socket:")
                let committer = Committer(server, vm: "a")
                for _ in 0..<20 {
                    var follower = try server.connect()
                    _ = try follower.ask(Self.subscribe)
                    _ = try follower.next()
                }
                committer.stop()
                server.events.wait(forDisconnected: 21)
                guard OpenDescriptors.count("socket:") == before else { exit(1) }
            }
        }

        @Test("nothing comes after the reply that ends a subscription")
        func unsubscribe() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            let committer = Committer(server, vm: "a")
            _ = try client.ask(Self.subscribe)
            try client.send(#"{"id":2,"method":"events.unsubscribe","params":{"vm":"a"}}"# + "\n")
            while try client.next().id != 2 {}
            committer.stop()
            #expect(try client.ask(#"{"id":3,"method":"server.info"}"#).id == 3)
        }

        @Test("subscribers get what waits for them when the server ends")
        func ending() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("a")
            var follower = try server.connect()
            _ = try follower.ask(Self.subscribe)
            for id in 1...50 { _ = try client.ask(Line.submit("a", id: id, pages: id)) }
            server.server.stop()
            let events = try follower.next(50)
            #expect(events.map { $0["params"]?["generation"]?.int } == Array(1...50))
            #expect(try follower.isAtEnd())
        }

        @Test("what a client got before it subscribed anew is older than the snapshot")
        func subscribesAnew() throws {
            let server = try RunningServer()
            var writer = try server.connect()
            try writer.makeVM("a")
            var client = try server.connect()
            _ = try client.call(.eventsSubscribe)
            _ = try writer.ask(Line.submit("a", id: 1, pages: 1))
            let first = try #require(try client.nextNotification())
            #expect(first.value?["params"]?["generation"]?.int == 1)
            // The second may come before the next reply: then it stays in the queue.
            _ = try writer.ask(Line.submit("a", id: 2, pages: 2))
            _ = try client.call(.serverInfo)
            let vms = try client.call(.eventsSubscribe).value?["result"]?["vms"]
            #expect(vms?.elements.first { _ in true }?["generation"]?.int == 2)
            client.discardNotifications()
            _ = try writer.ask(Line.submit("a", id: 3, pages: 3))
            let next = try #require(try client.nextNotification()).value
            #expect(next?["params"]?["previousGeneration"]?.int == 2)
        }
    }
}

/// A client that commits until it is stopped.
private final class Committer: @unchecked Sendable {
    // Unchecked: guarded by the lock.
    private let lock = NSLock()
    private var isStopping = false
    private let hasEnded = DispatchSemaphore(value: 0)

    init(_ server: RunningServer, vm: String) {
        Thread.detachNewThread { [self] in
            run(server, vm)
            hasEnded.signal()
        }
    }

    func stop() {
        lock.withLock { isStopping = true }
        hasEnded.wait()
    }

    private func run(_ server: RunningServer, _ vm: String) {
        guard var client = try? server.connect() else { return }
        var pages = 1
        while !lock.withLock({ isStopping }) {
            pages = pages % 1_000 + 1
            guard (try? client.ask(Line.submit(vm, id: pages, pages: pages))) != nil else { return }
        }
    }
}
