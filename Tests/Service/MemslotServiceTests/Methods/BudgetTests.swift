import Foundation
import MemslotProtocol
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("what peers may hold")
struct BudgetTests {
    private let budget = Budget("things", of: "things", total: 320, share: 160)

    private func refusal(_ amount: Int, _ user: UInt32) -> String? {
        do throws(ProtocolError) {
            try budget.charge(amount, to: user)
            return nil
        } catch { return error.data.limit }
    }

    @Test("a peer has at most its share, and a part of the total is reserved for root")
    func shares() {
        #expect(refusal(160, 1) == nil)
        #expect(refusal(1, 1) == "thingsPerPeer")
        #expect(refusal(150, 2) == nil)
        #expect(refusal(1, 3) == "things")
        #expect(refusal(10, 0) == nil)
        #expect(refusal(1, 0) == "things")
        budget.release(150, of: 2)
        #expect(refusal(1, 3) == nil)
        #expect(budget.sum == 171)
        #expect(budget.held(by: 1) == 160)
        #expect(budget.held(by: 2) == 0)
    }

    @Test("those of one peer that wait are served in order, and do not hold up another peer")
    func order() {
        let served = ServedList()
        #expect(refusal(160, 1) == nil)
        for amount in [100, 90, 1] { served.start(budget, amount, user: 1) }
        // It needs no room that peer 1 waits for.
        #expect(budget.wait(for: 20, of: 2) == 20)
        #expect(served.amounts == [])
        budget.release(50, of: 1)
        budget.release(50, of: 1)
        served.wait(for: 1)
        // The last would fit after 89 more, but it came last.
        budget.release(89, of: 1)
        #expect(served.amounts == [100])
        budget.release(1, of: 1)
        served.wait(for: 2)
        budget.release(1, of: 1)
        served.wait(for: 3)
        #expect(served.amounts == [100, 90, 1])
        #expect(budget.held(by: 1) == 160)
        // More than a share waits for all of it.
        budget.release(160, of: 1)
        #expect(budget.wait(for: 1_000, of: 1) == 160)
    }

    @Test("one that lacks room in the total is served before those that came later")
    func total() {
        let served = ServedList()
        #expect(refusal(160, 1) == nil)
        #expect(refusal(140, 2) == nil)
        served.start(budget, 100, user: 3)
        served.start(budget, 1, user: 4)
        #expect(served.amounts == [])
        budget.release(90, of: 1)
        served.wait(for: 1)
        budget.release(1, of: 1)
        served.wait(for: 2)
        #expect(served.amounts == [100, 1])
    }

    @Test("root is served from its reserve while others wait for room in the total")
    func reserve() {
        let served = ServedList()
        #expect(refusal(160, 1) == nil)
        #expect(refusal(150, 2) == nil)
        served.start(budget, 1, user: 3)
        #expect(budget.wait(for: 4, of: 0) == 4)
        #expect(served.amounts == [])
        // Its own requests stay in order: the second would fit.
        served.start(budget, 7, user: 0)
        served.start(budget, 2, user: 0)
        #expect(served.amounts == [])
        budget.release(1, of: 1)
        served.wait(for: 1)
        budget.release(2, of: 1)
        served.wait(for: 2)
        budget.release(11, of: 2)
        served.wait(for: 3)
        #expect(served.amounts == [7, 2, 1])
    }

    @Test("limits that need more descriptors than there are become lower, in proportion")
    func descriptors() {
        var limits = ServiceLimits()
        let whole = limits
        var isLowered = limits.lower(toDescriptors: limits.neededDescriptors)
        #expect(!isLowered && limits == whole)
        isLowered = limits.lower(toDescriptors: 4_096)
        #expect(isLowered)
        #expect(limits.neededDescriptors <= 4_096)
        #expect(limits.neededDescriptors > 4_000)
        #expect(limits.connections / limits.connectionsPerPeer == 2)
        isLowered = limits.lower(toDescriptors: 10)
        #expect(isLowered && limits.connections == 1 && limits.memoriesPerPeer == 1)
    }

    @Test("all that costs memory adds up to the limit of memory, as server.info lists it")
    func memory() throws {
        let whole = ServiceLimits()
        #expect(Self.memory(of: whole) == whole.memoryLimit)
        let (least, most) = (whole.leastMemory, whole.memoryLimit)
        for bytes in stride(from: least, through: most + most / 2, by: most / 9) {
            var limits = whole
            let isPossible = limits.lower(toMemory: bytes)
            #expect(isPossible && limits.memoryLimit == bytes)
            let sum = Self.memory(of: limits)
            #expect(sum <= bytes && sum >= min(bytes, most) - 64 * limits.threadBytes)
            #expect(limits.requestBytesPerPeer <= limits.requestBytes / 7 * 6)
            // What the protocol promises to a single peer.
            #expect(limits.lineBytes >= 16 << 20 && limits.connectionsPerPeer >= 256)
            #expect(limits.vmsPerPeer >= 1_024 && limits.memoriesPerPeer >= 4_096)
            #expect(limits.queuedEvents >= 1_024 && limits.receipts >= 1_024)
            #expect(limits.requestBytesPerPeer >= 15 * limits.lineBytes)
            #expect(limits.threadsPerPeer >= limits.connectionsPerPeer)
            #expect(
                2 * limits.batchAnswerBytes + limits.replyBytes <= limits.unreadReplyBytesPerPeer)
        }
        var limits = whole
        let isPossible = limits.lower(toMemory: least - 1)
        #expect(!isPossible && limits == whole)
    }

    @Test("the default limits fit every host, and limits that were raised do not raise the default")
    func smallHost() {
        let defaults = ServiceLimits()
        var raised = defaults
        raised.connections *= 100
        for half in [1 << 20, 355 << 20, 1 << 30, 4 << 30, 1 << 40] {
            var limits = defaults
            let fits = limits.lower(toMemory: defaults.defaultMemory(half: half))
            #expect(fits && limits.memoryLimit == max(half, defaults.leastMemory), "\(half)")
            #expect(Self.memory(of: limits) <= limits.memoryLimit)
            #expect(limits.lowered.isEmpty == (half > 16 << 30))
            #expect(raised.defaultMemory(half: half) <= max(half, defaults.leastMemory))
        }
        #expect(defaults.leastMemory <= 948 << 20, "a host of 1 GiB has no more")
    }

    /// The sum of what each limit costs, by the names of the wire.
    private static func memory(of limits: ServiceLimits) -> Int {
        let bytes = Dictionary(uniqueKeysWithValues: limits.all.map { ($0.name, Int($0.value)) })
        let counted = [
            "connections": "connectionBytes", "threads": "threadBytes", "vms": "vmBytes",
            "slots": "slotBytes", "memories": "memoryObjectBytes",
            "subscriptions": "subscriptionBytes", "observers": "observerBytes",
        ]
        let budgets = [
            "baseBytes", "requestBytes", "unreadReplyBytes", "receiptBytes", "eventBytes",
            "dirtyBytes",
        ]
        return budgets.reduce(0) { $0 + bytes[$1, default: .max] }
            + counted.reduce(0) { $0 + bytes[$1.key, default: 0] * bytes[$1.value, default: 0] }
    }

    @Test("a VM or a memory object beyond a limit is refused before it is created")
    func beforeCreation() throws {
        var limits = ServiceLimits()
        limits.vms = 2
        limits.memories = 1
        (limits.memoryBytes, limits.memoryBytesPerPeer) = (1 << 60, 1 << 60)
        // A KVM that can't be opened: whoever tries to create such a VM gets another error.
        let service = MemslotService(limits: limits, kvmDevice: "/nonexistent")
        let client = WireClient(service, user: 1)
        let kvm = #"{"vm":"c","backend":"kvm"}"#
        try client.createVM("a")
        #expect(try client.call("vm.create", kvm).root.errorKind == "backend-unavailable")
        // What failed holds nothing.
        #expect(service.budgets.vms.sum == 1)
        try client.createVM("b")
        #expect(try client.call("vm.create", kvm).root.limit == "vms")
        #expect(service.budgets.vms.sum == 2)
        // As many huge pages as no host has, so that creating them fails.
        let huge = #"{"vm":"a","memory":"h","size":1125899906842624,"backing":"hugetlb"}"#
        #expect(try client.call("memory.create", huge).root.errorKind == "backend-unavailable")
        #expect(service.budgets.memories.sum == 0 && service.budgets.memoryBytes.sum == 0)
        let memory = #"{"vm":"a","memory":"m","backing":"memfd","size":4096}"#
        #expect(try client.call("memory.create", memory).error == nil)
        #expect(try client.call("memory.create", huge).root.limit == "memories")
    }

    @Test("the totals are limits beside the shares")
    func totals() throws {
        var limits = ServiceLimits()
        limits.vms = 3
        limits.slots = 2
        limits.memories = 1
        limits.subscriptions = 1
        let service = MemslotService(limits: limits)
        let (one, other) = (WireClient(service, user: 1), WireClient(service, user: 2))
        for client in [one, other] { try client.createVM("a") }
        try one.createVM("b")
        let third = try other.call("vm.create", #"{"vm":"b","backend":"simulated"}"#)
        #expect(third.root.limit == "vms")
        let slots = (0..<2).map {
            #"{"guestPhysicalAddress":\#($0 * 8192),"size":4096,"userspaceAddress":4096}"#
        }
        #expect(try one.submit("a", slots.joined(separator: ",")).error == nil)
        #expect(try other.submit("a", slots[0]).root.limit == "slots")
        let memory = #"{"vm":"a","memory":"m","backing":"memfd","size":4096}"#
        #expect(try one.call("memory.create", memory).error == nil)
        let second = try other.call("memory.create", memory)
        #expect(second.root.limit == "memories")
        #expect(try one.call("events.subscribe").error == nil)
        let followed = try other.call("events.subscribe")
        #expect(followed.root.limit == "subscriptions")
    }
}

/// The amounts that threads have waited for, in the order in which they were served.
private final class ServedList: @unchecked Sendable {
    // Guarded by the condition.
    private var list: [Int] = []
    private let condition = NSCondition()

    var amounts: [Int] { condition.withLock { list } }

    /// Starts a thread that waits, and returns when it does.
    func start(_ budget: Budget, _ amount: Int, user: UInt32) {
        let before = budget.waitingCount
        Thread.detachNewThread {
            _ = budget.wait(for: amount, of: user)
            self.condition.withLock {
                self.list.append(amount)
                self.condition.broadcast()
            }
        }
        while budget.waitingCount == before { sched_yield() }
    }

    func wait(for count: Int) {
        condition.withLock { while list.count < count { condition.wait() } }
    }
}
