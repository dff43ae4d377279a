import Memslots
import Synchronization
import Testing

@testable import MemslotKVM

/// A vCPU's shared page and the steps of its thread and its kickers.
///
/// The steps are those of the kick; only the kernel is simulated. `KVM_RUN` leaves at once if
/// `immediate_exit` is set, otherwise after a signal since the entry.
private final class KickBoard {
    let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
    let kick: VCPUKick
    private let signals: Counter
    private var signalsAtEntry = 0
    private var isInGuest = false
    var interrupted = false
    var collected: KickRequests = []

    final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    init() {
        page.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        let signals = Counter()
        self.signals = signals
        self.kick = VCPUKick(sharedPage: page) { _ in
            signals.value.add(1, ordering: .relaxed)
        }
    }

    deinit { page.deallocate() }

    private var signalCount: Int { signals.value.load(ordering: .relaxed) }
    private var exitsImmediately: Bool { page.load(fromByteOffset: 1, as: UInt8.self) != 0 }

    /// Performs a step of the vCPU's thread. `false`: it is in the guest, and nothing interrupts it.
    func step(_ number: Int) -> Bool {
        switch number {
        case 0: kick.enter()
        case 1:
            // A signal before this only ran a handler that does nothing.
            signalsAtEntry = signalCount
            interrupted = exitsImmediately
            isInGuest = !interrupted
        case 2:
            if isInGuest {
                guard signalCount > signalsAtEntry else { return false }
                isInGuest = false
                interrupted = true
            }
        default:
            collected.formUnion(
                kick.perform(VCPUKick.leaving[number - 3], interrupted: interrupted))
        }
        return true
    }

    func kickerStep(_ number: Int, _ request: KickRequests) {
        kick.perform(VCPUKick.kicking[number], for: request)
    }
}

@Suite("kick, in every order")
struct KickOrderTests {
    /// All interleavings of the threads' steps; each is a list of threads.
    private func orders(_ counts: [Int]) -> [[Int]] {
        guard counts.contains(where: { $0 > 0 }) else { return [[]] }
        return counts.indices.filter { counts[$0] > 0 }.flatMap { thread in
            var rest = counts
            rest[thread] -= 1
            return orders(rest).map { [thread] + $0 }
        }
    }

    @Test("a vCPU never stays in the guest after a kick, and each request is reported once")
    func everyOrder() {
        let requests: [KickRequests] = [.gate, .embedder]
        var faults: [String] = []
        let all = orders([6, 3, 3])
        for order in all {
            let board = KickBoard()
            var next = [0, 0, 0]
            var waiting = 0
            for thread in order {
                if thread > 0 {
                    board.kickerStep(next[thread], requests[thread - 1])
                    next[thread] += 1
                } else if board.step(next[0]) {
                    next[0] += 1
                } else {
                    waiting += 1
                }
            }
            // After both kicks, one more turn completes what was pending, and another begins and ends.
            var reported = board.interrupted
            while next[0] < 6, board.step(next[0]) { next[0] += 1 }
            if next[0] < 6 { faults.append("stays inside: \(order)") }
            reported = reported || board.interrupted
            if board.collected != [.gate, .embedder] || !reported {
                // The next run must leave at once, and report the rest.
                for step in 0..<6 where !board.step(step) {
                    faults.append("doesn't leave: \(order)")
                }
                if !board.interrupted { faults.append("no EINTR: \(order)") }
            }
            if board.collected != [.gate, .embedder] { faults.append("not reported: \(order)") }
        }
        #expect(all.count == 18480)
        #expect(faults.isEmpty, "\(faults.prefix(3))")
    }

    @Test("immediate_exit set by the VMM stays set until the VMM has seen EINTR")
    func embedderByte() {
        let board = KickBoard()
        board.kick.kick(.gate)
        // The guest left for another reason: the byte stays set.
        board.kick.enter()
        #expect(board.kick.leave(interrupted: false) == .gate)
        #expect(board.step(1))
        #expect(board.interrupted)
        #expect(board.kick.leave(interrupted: true) == [])
        _ = board.step(1)
        #expect(!board.interrupted)
    }
}
