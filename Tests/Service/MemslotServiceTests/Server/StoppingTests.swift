import Foundation
import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

extension ServerTests {
    @Suite("the end of the server")
    struct StoppingTests {
        @Test("peers that are idle are let go, and the socket is removed")
        func idle() throws {
            let server = try RunningServer()
            var client = try server.connect()
            _ = try client.ask(#"{"id":1,"method":"vm.list"}"#)
            server.stop()
            #expect(try client.isAtEnd())
            #expect(access(server.path.path, F_OK) != 0)
            #expect(server.events.all.last == .stopped(isClean: true))
        }

        @Test("a transaction that runs is completed, and later requests are refused")
        func running() throws {
            let server = try RunningServer()
            var client = try server.connect()
            try client.makeVM("slow")
            _ = try client.ask(Line.submit("slow", id: 1, pages: 1))
            let letGo = try server.holdReader(of: "slow")
            try client.send(Line.submit("slow", id: 2, pages: 2, deadline: 60_000) + "\n")
            try client.send(Line.submit("slow", id: 3, pages: 3) + "\n")
            // Its reply comes while the first two run, so that they have been read.
            #expect(try client.ask(#"{"id":4,"method":"server.info"}"#).id == 4)
            server.server.stop()
            // While one is under way, what comes is read and refused at once.
            let refused = try client.ask(Line.submit("slow", id: 5, pages: 3))
            #expect(refused.id == 5)
            #expect(refused.errorKind == "shutting-down")
            #expect(refused.errorCode == -32_013)
            letGo()
            let answers = try client.next(2)
            #expect(answers.map(\.id) == [2, 3])
            #expect(answers[0]["result"]?["generation"]?.int == 2)
            #expect(answers[1].errorKind == "shutting-down")
            #expect(try client.isAtEnd())
        }

        @Test("a peer that reads nothing is cut off when the time is up")
        func stuckPeer() throws {
            let server = try RunningServer(gracePeriod: .milliseconds(50))
            var client = try server.connect()
            try client.makeLargeVM("a")
            try client.requestMoreThanFits("a")
            server.stop()
            #expect(server.events.all.last == .stopped(isClean: false))
        }

        @Test("it can be stopped before it has begun, and twice")
        func early() throws {
            let directory = try ScratchDirectory()
            let listener = try Listener(at: SocketPath(directory.path("s")))
            let server = SocketServer(MemslotService())
            server.stop()
            server.stop()
            #expect(server.run(listener))
        }

        @Test("a server that has ended has left no descriptor and no thread")
        // In a process of its own: what that has open is counted.
        func leaks() async {
            await #expect(processExitsWith: .success) {
                // All servers of a process share it.
                _ = RunningServer.launcher
                let before = OpenDescriptors.count("socket:")
                for _ in 0..<5 {
                    let server = try RunningServer()
                    try server.withClients(10) { client in try client.result("vm.list") }
                    server.stop()
                }
                guard OpenDescriptors.count("socket:") == before else { exit(1) }
            }
        }

        @Test("the protocol is spoken over pipes too, until the input ends")
        func pipes() throws {
            let toServer = PipeEnds()
            let fromServer = PipeEnds()
            let server = SocketServer(MemslotService())
            let lines =
                #"{"id":1,"method":"vm.list"}"# + "\n" + #"{"id":2,"method":"vm.list"}"# + "\n"
            let bytes = Array(lines.utf8)
            #expect(write(toServer.writeEnd, bytes, bytes.count) == bytes.count)
            // The server closes the descriptors.
            let (input, output) = (dup(toServer.readEnd), dup(fromServer.writeEnd))
            let done = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                server.run(input: input, output: output)
                done.signal()
            }
            let answers = (1...2).map {
                #"{"jsonrpc":"2.0","id":\#($0),"result":{"vms":[]}}"# + "\n"
            }.joined()
            #expect(fromServer.read(answers.utf8.count) == answers)
            server.stop()
            done.wait()
            #expect(toServer.others == 0)
            #expect(fromServer.others == 0)
        }
    }
}
