import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTrace
import Memslots
import Synchronization

/// The VMs of a run as a service's VMs, kept as the VMM changes its own.
final class RunMirror: Sendable {
    private let memory: RunMemory
    private let service: MemslotService
    private let isAtomic: Bool
    private let settings: TraceImporter.Options
    private let isOver = Atomic<Bool>(false)

    /// How often it is looked for news, in microseconds.
    private static let pause: UInt32 = 4_000

    init(
        _ memory: RunMemory, _ service: MemslotService, isAtomic: Bool,
        _ settings: TraceImporter.Options
    ) {
        self.memory = memory
        self.service = service
        self.isAtomic = isAtomic
        self.settings = settings
    }

    /// Says that nothing more comes into the memory.
    func end() { isOver.store(true, ordering: .releasing) }

    /// Tells what comes, until ``end()`` and all that came before it.
    func follow() {
        var reader = RunRecordReader(RunFollower(isAtomic: isAtomic, options: settings))
        var vms: [Int: ObservedVM] = [:]
        while true {
            let isOver = isOver.load(ordering: .acquiring)
            for news in memory.withBytes({ reader.read($0, isOver: isOver) }) {
                tell(news, &vms)
            }
            if isOver { return }
            usleep(Self.pause)
        }
    }

    private func tell(_ news: RunNews, _ vms: inout [Int: ObservedVM]) {
        switch news {
        case .machine(let number):
            let name = RunFollower.name(of: number, settings)
            do throws(ProtocolError) {
                vms[number] = try service.observe(vm: name)
            } catch {
                complain(name, error.message)
            }
        case .transaction(let followed):
            guard let vm = vms[followed.transaction.machine] else { return }
            tell(followed, vm)
        case .gone(let number):
            guard let vm = vms.removeValue(forKey: number) else { return }
            _ = try? service.unregister(vm.name)
        case .full(let limit):
            Terminal.complain(
                "memslotctl run: the socket tells nothing more before the end of the run: there "
                    + "is room for \(limit) records")
        }
    }

    private func tell(_ followed: FollowedTransaction, _ vm: ObservedVM) {
        do throws(SubmitError) {
            let generation = try vm.note(
                followed.slots,
                done: ObservedVM.Transaction(
                    operations: followed.operations, quiesced: followed.commit != nil,
                    nanoseconds: followed.times))
            service.announce(
                RunNotification.transaction(followed, of: vm.name, generation: generation),
                of: vm.name)
        } catch {
            complain(vm.name, error.message)
        }
    }

    private func complain(_ name: String, _ reason: String) {
        Terminal.complain("memslotctl run: VM \"\(name)\" can't be told on the socket: \(reason)")
    }
}

extension FollowedTransaction {
    /// Its times, as a receipt has them.
    fileprivate var times: Receipt.Nanoseconds {
        var times = Receipt.Nanoseconds()
        times.apply = commit?.appliedNanoseconds ?? callNanoseconds
        times.blackout = commit?.heldNanoseconds ?? 0
        times.total = commit?.heldNanoseconds ?? nanoseconds
        return times
    }
}
