import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTrace
import Memslots
import Synchronization

/// A run that is served on a socket while it lasts: its VMs, and each transaction as it ends.
///
/// A thread of this process reads the records that the VMM writes. For a live run the VMM also
/// records when a thread that made slot calls enters `KVM_RUN`, and when a VM is closed.
final class LiveRun: Sendable {
    private let service: MemslotService
    private let server: SocketServer
    private let mirror: RunMirror
    private let serving: OwnThread
    private let following: OwnThread

    /// Listens at `path` and serves the records in `memory`.
    ///
    /// - Throws: if it can't listen there, for instance because a daemon does.
    init(
        _ memory: RunMemory, isAtomic: Bool, _ settings: TraceImporter.Options, at path: String
    ) throws(RunFailure) {
        // Only the VMM changes its slots.
        var access = PeerAccess()
        access.isReadOnly = true
        access.servedUser = getuid()
        let service = MemslotService()
        let server = SocketServer(service, access: access)
        let mirror = RunMirror(memory, service, isAtomic: isAtomic, settings)
        let listener: Listener
        listener = try converting(
            { (error: ListeningError) in RunFailure(error.message) },
            server.listen(at: SocketPath(path)))
        do throws(Errno) {
            serving = try OwnThread { server.run(listener, gracePeriod: .seconds(2)) }
            following = try OwnThread { mirror.follow() }
        } catch {
            throw RunFailure("no thread for the socket: \(error)")
        }
        (self.service, self.server, self.mirror) = (service, server, mirror)
    }

    /// Sends the remaining transactions and the end to the subscribers, and closes the socket.
    ///
    /// - Parameter outcome: the run; `nil` if the VMM could not be started.
    func end(_ outcome: RunOutcome?, status: Int32) {
        mirror.end()
        following.join()
        if let outcome {
            let line = RunNotification.ended(
                outcome.seen?.report, outcome.recording, status: status)
            service.announce(line, toFollowersOf: nil)
        }
        server.stop()
        serving.join()
    }
}

/// Copies the VMs of a run into a service.
final class RunMirror: Sendable {
    private let memory: RunMemory
    private let service: MemslotService
    private let isAtomic: Bool
    private let settings: TraceImporter.Options
    private let isOver = Atomic<Bool>(false)

    /// The time between two reads, in microseconds.
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

    /// Announces that no more records will be written.
    func end() { isOver.store(true, ordering: .releasing) }

    /// Applies new records until all records before ``end()`` are applied.
    func follow() {
        var reader = RunRecordReader(RunFollower(isAtomic: isAtomic, options: settings))
        var vms: [Int: ObservedVM] = [:]
        while true {
            let isOver = isOver.load(ordering: .acquiring)
            for event in memory.withBytes({ reader.read($0, isOver: isOver) }) {
                apply(event, &vms)
            }
            if isOver { return }
            usleep(Self.pause)
        }
    }

    private func apply(_ event: RunEvent, _ vms: inout [Int: ObservedVM]) {
        switch event {
        case .machine(let number):
            let name = RunFollower.name(of: number, settings)
            do throws(ProtocolError) {
                vms[number] = try service.observe(vm: name)
            } catch {
                complain(name, error.message)
            }
        case .transaction(let followed):
            guard let vm = vms[followed.transaction.machine] else { return }
            apply(followed, vm)
        case .gone(let number):
            guard let vm = vms.removeValue(forKey: number) else { return }
            _ = try? service.unregister(vm.name)
        case .full(let limit):
            Terminal.complain(
                "memslotctl run: the socket sends nothing more before the end of the run: there "
                    + "is room for only \(limit) records")
        }
    }

    private func apply(_ followed: FollowedTransaction, _ vm: ObservedVM) {
        do throws(SubmitError) {
            let generation = try vm.record(
                followed.slots,
                of: ObservedVM.Transaction(
                    operations: followed.operations, quiesced: followed.commit != nil,
                    durations: followed.durations))
            service.announce(
                RunNotification.transaction(followed, of: vm.name, generation: generation),
                toFollowersOf: vm.name)
        } catch {
            complain(vm.name, error.message)
        }
    }

    private func complain(_ name: String, _ reason: String) {
        Terminal.complain("memslotctl run: VM \"\(name)\" can't be shown on the socket: \(reason)")
    }
}

extension FollowedTransaction {
    /// Its durations in the form of a receipt.
    fileprivate var durations: Receipt.Durations {
        var durations = Receipt.Durations()
        durations.nanoseconds.apply = commit?.appliedNanoseconds ?? callNanoseconds
        durations.nanoseconds.blackout = commit?.heldNanoseconds ?? 0
        durations.nanoseconds.total = commit?.heldNanoseconds ?? nanoseconds
        return durations
    }
}
