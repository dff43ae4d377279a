import ClientVMM
import Dispatch
import Foundation
import MemslotProtocol
import MemslotService
import MemslotVhostUser
import Memslots
import Synchronization
import Testing

@Suite("a VMM outside of the package")
struct ClientVMMTests {
    private let vmm: VMM
    private let kicks = KickCount()
    private let ram = Memslot(
        guestPhysicalAddress: 0, size: .mebibytes(1), userspaceAddress: 0x7f00_0000_0000)

    init() throws {
        let kicks = kicks
        vmm = try VMM(iommuLimit: .mebibytes(2)) { kicks.add() }
    }

    @Test("its backend receives the slots, with ids")
    func submit() throws {
        let receipt = try vmm.table.submit([ram])
        #expect(receipt.slots.map(\.id) == [0])
        #expect(vmm.backend.slots == receipt.slots)
        #expect(vmm.iommu.mappedBytes == ram.size)
        let (low, high) = ram.split(at: 0xa_0000)
        let split = try vmm.table.submit([low, high])
        #expect(split.operations.count == 3)
        #expect(vmm.backend.slots.count == 2)
        #expect(vmm.iommu.mappedBytes == ram.size)
        #expect(low.merged(with: high) == ram)
    }

    @Test("the veto of its hook rejects the whole transaction, and the error carries the reason")
    func veto() throws {
        try vmm.table.submit([ram])
        let tooMuch = Memslot(
            guestPhysicalAddress: 0x1000_0000, size: .mebibytes(2),
            userspaceAddress: 0x7f10_0000_0000)
        let error = #expect(throws: SubmitError.self) {
            try vmm.table.submit([ram, tooMuch])
        }
        guard case .rejected(let hook, .added(let slot), let reason) = error else {
            Issue.record("not rejected: \(String(describing: error))")
            return
        }
        #expect(hook == "iommu")
        #expect(slot.size == tooMuch.size)
        #expect(reason == "the IOMMU is full")
        #expect(error?.message.contains(reason) == true)
        #expect(vmm.table.snapshot().array.count == 1)
        #expect(vmm.iommu.mappedBytes == ram.size)
    }

    @Test("its hook counts a replaced slot once, so an array at the limit can be split")
    func splitAtTheLimit() throws {
        let most = Memslot(
            guestPhysicalAddress: 0, size: .mebibytes(2), userspaceAddress: 0x7f00_0000_0000)
        try vmm.table.submit([most])
        let (low, high) = most.split(at: 0x10_0000)
        try vmm.table.submit([low, high])
        #expect(vmm.iommu.mappedBytes == most.size)
        try vmm.table.submit([])
        #expect(vmm.iommu.mappedBytes == .zero)
    }

    @Test("its own hold keeps a vCPU out while slots change, and names one that stays")
    func hold() throws {
        let receipt = try vmm.table.submit([ram])
        let (started, leave) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let pause = vmm.pause
        Thread.detachNewThread {
            pause.run("0") {
                started.signal()
                leave.wait()
            }
        }
        started.wait()
        let options = SubmitOptions(quiesce: .always, quiesceDeadline: .milliseconds(20))
        let error = #expect(throws: SubmitError.self) {
            try vmm.table.submit([], options: options)
        }
        guard case .quiesceTimeout = error else {
            Issue.record("no timeout: \(String(describing: error))")
            return
        }
        #expect(error?.message.contains("vCPU 0") == true)
        #expect(kicks.count >= 1)
        #expect(vmm.backend.slots == receipt.slots)
        leave.signal()
        #expect(try vmm.table.submit([], options: SubmitOptions(quiesce: .always)).quiesced)
    }

    @Test("its device translates through a reader")
    func reader() throws {
        let device = Device(of: vmm.table)
        #expect(device.translate(0x1234) == nil)
        try vmm.table.submit([ram])
        #expect(device.translate(0x1234) == 0x7f00_0000_1234)
    }

    @Test("an actor submits without blocking, and a conflict reaches it")
    func actor() async throws {
        let controller = MemoryController(vmm.table)
        let receipt = try await controller.plug(ram)
        #expect(receipt.generation == 1)
        await #expect(throws: SubmitError.self) { try await controller.plug(ram) }
    }

    @Test("its dirty pages are reported, survive a split, and end in the receipt")
    func dirtyLog() throws {
        let logged = try vmm.table.submit([ram.logging(true)]).slots[0]
        let key = try #require(logged.key)
        vmm.backend.write(page: 3, of: key)
        #expect(try vmm.table.dirtyLog(of: logged, clear: true).bitmap.runs == [3..<4])
        vmm.backend.write(page: 200, of: key)
        let (low, high) = logged.split(at: 0x8_0000)
        let halves = try vmm.table.submit([low, high]).slots
        #expect(try vmm.table.dirtyLog(of: halves[1]).bitmap.runs == [72..<73])
        let last = try vmm.table.submit(halves.map { $0.logging(false) })
        #expect(last.unmappedDirtyPages.flatMap(\.runs) == [72..<73])
        #expect(throws: DirtyLogError.self) { try vmm.table.dirtyLog(of: halves[0]) }
    }

    @Test("an observer receives events until it is cancelled")
    func observer() throws {
        let generations = GenerationLog()
        let (snapshot, observation) = try vmm.table.observe { event in
            if case .committed(let receipt, _, _) = event { generations.append(receipt.generation) }
        }
        #expect(snapshot.generation == 0)
        try vmm.table.submit([ram])
        observation.cancel()
        try vmm.table.submit([])
        #expect(generations.all == [1])
    }

    @Test("a back end that hangs up is an error that it can name, and the table goes on")
    func backEnd() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        close(ends[1])
        let error = #expect(throws: VhostUserError.self) {
            try vmm.attachDisk(on: ends[0]) { _ in nil }
        }
        #expect(error?.kind == "closed")
        #expect(try vmm.table.submit([ram]).generation == 1)
    }

    @Test("its service executes typed commands, and refuses with an error that it can name")
    func service() throws {
        try vmm.table.submit([ram])
        #expect(vmm.serve(as: "guest") == nil)
        #expect(vmm.serve(as: "guest") == .vmExists)
        #expect(vmm.serve(as: "a/b") == .invalidParams)

        let connection = ServiceConnection(peer: Peer(user: getuid()))
        let reply = try vmm.service.execute(.getSlots(vm: "guest"), on: connection)
        guard case .array(let array) = reply else {
            Issue.record("not an array: \(reply)")
            return
        }
        #expect(array.slots.map(\.slot.size) == [ram.size])
        let error = #expect(throws: ProtocolError.self) {
            try vmm.service.execute(.getSlots(vm: "other"), on: connection)
        }
        #expect(error?.kind == .unknownVM)
    }
}

private final class KickCount: Sendable {
    private let kicks = Mutex(0)

    var count: Int { kicks.withLock { $0 } }

    func add() { kicks.withLock { $0 += 1 } }
}

private final class GenerationLog: Sendable {
    private let list = Mutex<[Generation]>([])

    var all: [Generation] { list.withLock { $0 } }

    func append(_ generation: Generation) { list.withLock { $0.append(generation) } }
}
