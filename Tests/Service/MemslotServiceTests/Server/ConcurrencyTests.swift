import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import Memslots
import TestSupport
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("requests under way at once")
    struct ConcurrencyTests {
        @Test("a request that waits holds up its own VM, and no other of the connection")
        func twoVMs() throws {
            let server = try RunningServer()
            var client = try server.connect()
            for vm in ["slow", "fast"] { try client.makeVM(vm) }
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            try client.send(Line.submit("slow", id: 2, pages: 2, deadline: 60_000) + "\n")
            try client.send(Line.submit("slow", id: 3, pages: 3) + "\n")
            // Both get replies while the reader is held: the first line that comes is theirs.
            #expect(try client.ask(Line.submit("fast", id: 4, pages: 1)).id == 4)
            #expect(try client.ask(#"{"id":5,"method":"server.info"}"#).id == 5)
            letGo()
            let rest = try client.next(2)
            #expect(rest.map(\.id) == [2, 3])
            #expect(rest.map { $0["result"]?["generation"]?.int } == [2, 3])
        }

        @Test("all requests of one write get replies, also after one that waits")
        func oneWrite() throws {
            let server = try RunningServer()
            var client = try server.connect()
            for vm in ["slow", "fast"] { try client.makeVM(vm) }
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            try client.send(
                [
                    Line.get("fast", id: 2), Line.submit("slow", id: 3, pages: 2, deadline: 60_000),
                    Line.get("fast", id: 4), Line.submit("slow", id: 5, pages: 3),
                    Line.get("fast", id: 6),
                ].map { $0 + "\n" }.joined())
            #expect(try client.next(3).map(\.id) == [2, 4, 6])
            letGo()
            #expect(try client.next(2).map(\.id) == [3, 5])
        }

        @Test("a batch waits for the VMs that it names, and what names them waits for it")
        func batch() throws {
            let server = try RunningServer()
            var client = try server.connect()
            for vm in ["a", "b", "c"] { try client.makeVM(vm) }
            for vm in ["a", "b"] { _ = try client.ask(Line.submit(vm, id: 0, pages: 1)) }
            let letGo = try server.holdReader(of: "a")
            try client.send(
                [
                    Line.submit("a", id: 1, pages: 2, deadline: 60_000),
                    "[\(Line.submit("a", id: 2, pages: 3)),\(Line.submit("b", id: 3, pages: 2))]",
                    Line.submit("b", id: 4, pages: 3), Line.get("c", id: 5),
                ].map { $0 + "\n" }.joined())
            #expect(try client.next().id == 5)
            letGo()
            let rest = try client.next(3)
            #expect(rest[0].id == 1)
            #expect(rest[1].elements.map(\.id) == [2, 3])
            #expect(rest[2].id == 4)
            #expect(rest[2]["result"]?["generation"]?.int == 3)
        }

        @Test(
            "a connection whose requests wait is read only so far, and all get replies in the end"
        )
        func inFlight() throws {
            var limits = ServiceLimits()
            limits.inFlightRequests = 4
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            for vm in ["slow", "fast"] { try client.makeVM(vm) }
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            let lines =
                (2...5).map { Line.submit("slow", id: $0, pages: $0, deadline: 60_000) }
                + [Line.get("fast", id: 6)]
            try client.send(lines.map { $0 + "\n" }.joined())
            var other = try server.connect()
            #expect(try other.ask(Line.get("fast", id: 7)).id == 7)
            letGo()
            // The request to the other VM was behind the limit, until one had a reply.
            let order = try client.next(5).map(\.id)
            #expect(order.first == 2)
            #expect(order.filter { $0 != 6 } == [2, 3, 4, 5])
        }

        @Test("all requests get replies when more VMs wait than the connection has threads")
        func threads() throws {
            var limits = ServiceLimits()
            limits.threadsPerConnection = 2
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            var letGo: [() -> Void] = []
            for vm in ["a", "b", "c", "d"] {
                try client.makeVM(vm)
                _ = try client.ask(Line.submit(vm, id: 0, pages: 1))
                letGo.append(try server.holdReader(of: vm))
                try client.send(Line.submit(vm, id: 1, pages: 2, deadline: 60_000) + "\n")
                if vm == "b" { break }
            }
            var other = try server.connect()
            #expect(try other.ask(#"{"id":7,"method":"server.info"}"#).id == 7)
            for end in letGo { end() }
            #expect(try client.next(2).map(\.id) == [1, 1])
            #expect(try client.ask(#"{"id":8,"method":"server.info"}"#).id == 8)
        }

        @Test("a peer that ends sending while a request waits gets its reply")
        func halfClosed() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("slow")
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            try client.send(
                (2...4).map { Line.submit("slow", id: $0, pages: $0, deadline: 60_000) + "\n" }
                    .joined())
            client.endSending()
            letGo()
            #expect(try client.next(3).map(\.id) == [2, 3, 4])
            #expect(try client.isAtEnd())
        }

        @Test("a peer that goes while its requests wait leaves nothing behind")
        // In a process of its own: what that has open is counted.
        func disconnect() async {
            await #expect(processExitsWith: .success) {
                let server = try RunningServer()
                let before = OpenDescriptors.count("socket:")
                var letGo: () -> Void = {}
                do {
                    var client = try server.connect()
                    try client.makeVM("slow")
                    _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
                    letGo = try server.holdReader(of: "slow")
                    for id in 2..<10 {
                        try client.send(
                            Line.submit("slow", id: id, pages: id, deadline: 60_000) + "\n")
                    }
                }
                letGo()
                server.events.wait(forDisconnected: 1)
                guard OpenDescriptors.count("socket:") == before else { exit(1) }
                // What was sent is executed all the same.
                let generation = try server.table(of: "slow").snapshot().generation
                guard generation.rawValue == 9 else { exit(2) }
            }
        }

        @Test("a peer that reads no replies delays no other, and loses none when it reads")
        func slowReader() throws {
            var limits = ServiceLimits()
            limits.waitingAnswerBytes = 1 << 16
            let server = try RunningServer(limits: limits)
            var slow = try server.connect()
            try slow.makeVM("big")
            let slots = (0..<2_000).map {
                #"{"slot":\#($0),"guestPhysicalAddress":\#($0 * 8_192),"size":4096,"userspaceAddress":4096}"#
            }.joined(separator: ",")
            let submit =
                #"{"id":0,"method":"memslots.submit","params":{"vm":"big","slots":[\#(slots)]}}"#
            #expect(try slow.ask(submit)["result"] != nil)
            // Some 200 KB each: far more than the sockets hold.
            try slow.send((1...100).map { Line.get("big", id: $0) + "\n" }.joined())
            var other = try server.connect()
            for id in 1...20 { #expect(try other.ask(Line.get("big", id: id)).id == id) }
            #expect(try slow.next(100).map(\.id) == Array(1...100))
        }

        @Test("clients that compare and swap at once lose no update")
        func compareAndSwap() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("shared")
            let (workers, perWorker) = (32, 20)
            let committed = Committed()
            let done = DispatchGroup()
            for worker in 0..<workers {
                done.enter()
                Thread.detachNewThread {
                    defer { done.leave() }
                    committed.run(on: server, worker: worker, commits: perWorker)
                }
            }
            done.wait()
            #expect(committed.faults == [])
            let all = committed.generations.sorted()
            #expect(all == Array(1...(workers * perWorker)))
            let present = try client.ask(Line.get("shared", id: 1))["result"]?["generation"]?.int
            #expect(present == workers * perWorker)
        }
    }
}

/// The commits that clients were notified of.
private final class Committed: @unchecked Sendable {
    // Unchecked: guarded by the lock.
    private let lock = NSLock()
    private(set) var generations: [Int] = []
    private(set) var faults: [String] = []

    func run(on server: RunningServer, worker: Int, commits: Int) {
        do {
            var client = try server.connect()
            var present: UInt64 = 0
            var done = 0
            while done < commits {
                // No two submits have the same size, so that each is a change.
                let pages = 1 + worker + 64 * Int(present % 1_000)
                let answer = try client.ask(
                    Line.submit("shared", id: done, pages: pages, expected: present))
                if let generation = answer["result"]?["generation"]?.int {
                    lock.withLock { generations.append(generation) }
                    present = UInt64(generation)
                    done += 1
                } else if answer.errorCode == -32_004,
                    let now = answer["error"]?["data"]?["generation"]?.uint64
                {
                    present = now
                } else {
                    throw TargetLost(answer.rawText)
                }
            }
        } catch {
            lock.withLock { faults.append("\(error)") }
        }
    }
}
