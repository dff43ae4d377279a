import Foundation
import MemslotProtocol
import MemslotScenario
import MemslotService
import TestSupport
import Testing

@Suite("a scenario that is played to a socket")
struct SocketTargetTests {
    @Test("its expectations are met as in process, until the server ends")
    func target() throws {
        let directory = try ScratchDirectory()
        let path = try SocketPath(directory.path("s"))
        let listener = try Listener(at: path)
        let server = SocketServer(MemslotService())
        let hasEnded = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            server.run(listener)
            hasEnded.signal()
        }
        let target = try SocketTarget(path)
        var player = ScenarioPlayer(target)
        let text =
            #"{"method":"vm.create","params":{"vm":"a","backend":"simulated"},"expect":{"result":{"generation":0}}}"#
        var reader = ScenarioReader(LineReader(bytes: Array(text.utf8)))
        let step = try #require(try reader.next())
        let played = try player.play(step)
        #expect(played?.mismatches.isEmpty == true)
        server.stop()
        hasEnded.wait()
        #expect(throws: TargetLost.self) { try target.exchange(Array("{}".utf8)) }
    }
}

@Suite("a scenario on a host without KVM")
struct NoKVMReplayTests {
    @Test("a replay on kvm throws the reason, one on auto skips nothing")
    func replay() throws {
        let target = InProcessTarget(MemslotService(kvmDevice: "/nonexistent/kvm"))
        var onKVM = ScenarioPlayer(target, backend: .kvm)
        #expect(try onKVM.kvmUnavailability()?.contains("/nonexistent/kvm") == true)
        var onAny = ScenarioPlayer(target, backend: .auto)
        #expect(try onAny.kvmUnavailability() == nil)
        let path = try #require(FixtureFiles.scenarios.first { $0.hasPrefix("dirty/") })
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        while let step = try reader.next() {
            let played = try onAny.play(step)
            #expect(played?.skipped == nil)
        }
    }
}
