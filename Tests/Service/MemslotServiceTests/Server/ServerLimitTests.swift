import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

extension ServerTests {
    @Suite("limits of the server")
    struct LimitTests {
        @Test("one connection more than the limit gets an error and is closed; room comes back")
        func connections() throws {
            var limits = ServiceLimits()
            limits.connections = 3
            let server = try RunningServer(limits: limits)
            var first = try server.connect()
            var second = try server.connect()
            #expect(try first.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
            #expect(try second.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
            do {
                var third = try server.connect()
                #expect(try third.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
                var fourth = try server.connect()
                let refusal = try fourth.next()
                #expect(refusal.errorCode == -32_009)
                #expect(refusal.limit == "connections")
                #expect(refusal["id"]?.isNull == true)
                #expect(try fourth.isAtEnd())
            }
            server.events.wait(forDisconnected: 1)
            var next = try server.connect()
            #expect(try next.ask(#"{"id":2,"method":"vm.list"}"#).id == 2)
        }

        @Test("above half of the connections, one that sends no request is closed, others stay")
        func silent() throws {
            var limits = ServiceLimits()
            limits.connections = 5
            limits.firstRequestMs = 20
            let server = try RunningServer(limits: limits)
            var first = try server.connect()
            var second = try server.connect()
            _ = try first.result("vm.list")
            _ = try second.result("vm.list")
            var silent = try server.connect()
            #expect(try silent.isAtEnd())
            _ = try first.result("vm.list")
            // Half are used: there is room for a peer that takes its time.
            server.events.wait(forDisconnected: 1)
            _ = try second.result("vm.list")
        }

        @Test(
            "sixteen descriptors are accepted with a line, seventeen are an error; all are closed")
        func seventeen() throws {
            let server = try RunningServer()
            var client = try server.connect()
            let pipe = PipeEnds()
            let line = #"{"id":1,"method":"vm.list"}"#
            let sixteen = [Int32](repeating: pipe.readEnd, count: 16)
            #expect(try client.ask(line, descriptors: sixteen)["result"] != nil)
            #expect(pipe.others == 0)
            // The kernel lets a message carry more than a line may.
            #expect(RawSocket.send(line + "\n", pipe.readEnd, times: 17, to: client.socket))
            let refusal = try client.next()
            #expect(refusal.errorCode == -32_009)
            #expect(refusal.limit == "descriptors")
            #expect(refusal.id == 1)
            #expect(pipe.others == 0)
            // Those of several messages are counted together.
            try client.send(#"{"id":"#, descriptors: Array(sixteen.prefix(9)))
            try client.send(#"2,"method":"vm.list"}"# + "\n", descriptors: Array(sixteen.prefix(8)))
            #expect(try client.next().limit == "descriptors")
            #expect(pipe.others == 0)
            #expect(try client.ask(line)["result"] != nil)
        }

        @Test(
            "a batch whose replies grow too long is executed only so far, and its rest is refused"
        )
        func batchAnswers() throws {
            var limits = ServiceLimits()
            limits.batchAnswerBytes = 10_000
            let server = try RunningServer(limits: limits)
            var client = try server.connect()
            try client.makeVM("a")
            _ = try client.ask(Line.submit("a", id: 0, pages: 1))
            let gets = (1...100).map { Line.get("a", id: $0) }
            let batch = (gets + [Line.submit("a", id: 101, pages: 2), "7"]).joined(separator: ",")
            let answers = Array(try client.ask("[\(batch)]").elements)
            #expect(answers.dropLast().map(\.id) == Array(1...101))
            let executed = answers.prefix { $0["result"] != nil }.count
            #expect((20..<100).contains(executed))
            #expect(answers[executed..<101].allSatisfy { $0.limit == "batchAnswerBytes" })
            #expect(answers.last?.errorCode == -32_600)
            let present = try client.ask(Line.get("a", id: 1))["result"]
            #expect(present?["generation"]?.int == 1)
        }

        @Test("descriptors are charged to their peer until they are claimed, closed or read")
        func charged() throws {
            var limits = ServiceLimits()
            limits.passedDescriptorsPerPeer = 20
            let server = try RunningServer(limits: limits)
            let budget = server.service.budgets.passedDescriptors
            let pipe = PipeEnds()
            let sixteen = [Int32](repeating: pipe.readEnd, count: 16)
            var first = try server.connect()
            try first.send(#"{"id":1,"#, descriptors: sixteen)
            for _ in 0..<1_000_000 where budget.sum == 0 { sched_yield() }
            #expect(budget.sum == 16)
            // Half a line of one connection leaves room for four more of another one.
            var second = try server.connect()
            let line = #"{"id":2,"method":"vm.list"}"#
            #expect(try second.ask(line, descriptors: sixteen).limit == "descriptors")
            #expect(try second.ask(line, descriptors: Array(sixteen.prefix(4))).id == 2)
            try first.send(#""method":"vm.list"}"# + "\n")
            #expect(try first.next().id == 1)
            server.stop()
            #expect(budget.sum == 0)
        }

        @Test("descriptors that no request claims are closed, those of half a line too")
        func unclaimed() throws {
            let server = try RunningServer()
            let pipe = PipeEnds()
            do {
                var client = try server.connect()
                for line in ["", "nonsense", #"[{"id":1,"method":"vm.list"}]"#] {
                    try client.send(line + "\n", descriptors: [pipe.readEnd, pipe.writeEnd])
                }
                #expect(try client.next(2).count == 2)
            }
            // A reply may be read before the descriptors of its request are closed.
            server.events.wait(forDisconnected: 1)
            #expect(pipe.others == 0)
            do {
                let client = try server.connect()
                try client.send(#"{"id":"#, descriptors: [pipe.readEnd])
            }
            server.events.wait(forDisconnected: 2)
            #expect(pipe.others == 0)
        }
    }
}
