import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotService
import MemslotTrace
import Memslots

/// A run that is served on a socket while it lasts. A thread reads the records that the VMM writes.
final class LiveRun: Sendable {
    private let service: MemslotService
    private let server: SocketServer
    private let serving: OwnThread
    private let following: FollowedRun

    /// Listens at `path` and serves the records. Throws if a daemon listens there.
    init(
        _ memory: RunMemory, isAtomic: Bool, _ settings: TraceImporter.Options, at path: String
    ) throws(RunFailure) {
        // Only the VMM changes its slots.
        var access = PeerAccess()
        access.isReadOnly = true
        access.servedUser = getuid()
        let service = MemslotService()
        if isAtomic { service.controlAtomicity(by: getuid()) { memory.setAtomic($0) } }
        let server = SocketServer(service, access: access)
        let mirror = RunMirror(service, settings)
        let listener = try converting(
            { (error: ListeningError) in RunFailure(error.message) },
            server.listen(at: SocketPath(path)))
        do throws(Errno) {
            serving = try OwnThread { server.run(listener, gracePeriod: .seconds(2)) }
            following = try FollowedRun(memory, isAtomic: isAtomic, settings) {
                $0.forEach(mirror.apply)
            }
        } catch { throw RunFailure("no thread for the socket: \(error)") }
        (self.service, self.server) = (service, server)
    }

    /// Sends the rest to the subscribers. The outcome is `nil` if the VMM could not be started.
    func end(_ outcome: RunOutcome?, status: Int32?) {
        following.end()
        if let outcome {
            let line = RunNotification.ended(
                outcome.seen?.report, outcome.recording, status: status)
            service.announce(line, toFollowersOf: nil)
        }
        server.stop()
        serving.join()
    }
}

final class RunMirror: Sendable {
    private let service: MemslotService
    private let settings: TraceImporter.Options
    private let vms = Locked<[Int: ObservedVM]>([:])

    init(_ service: MemslotService, _ settings: TraceImporter.Options) {
        (self.service, self.settings) = (service, settings)
    }

    func apply(_ event: RunEvent) {
        switch event {
        case .machine(let machine):
            let name = RunFollower.name(of: machine.number, settings)
            do throws(ProtocolError) {
                let vm = try service.observe(vm: name)
                vms.withLock { $0[machine.number] = vm }
            } catch { complain(name, error.message) }
        case .transaction(let followed):
            guard let vm = vms.withLock({ $0[followed.transaction.machine] }) else { return }
            apply(followed, vm)
        case .fault(let fault):
            guard let vm = vms.withLock({ $0[fault.call.machine] }) else { return }
            service.announce(RunNotification.fault(fault, of: vm.name), toFollowersOf: vm.name)
        case .gone(let number):
            guard let vm = vms.withLock({ $0.removeValue(forKey: number) }) else { return }
            _ = try? service.unregister(vm.name)
        case .refused, .commit, .finding, .table: break
        case .lost(let count):
            Terminal.complain(
                "memslotctl run: \(counted(count, "record")) were overwritten before the socket "
                    + "had sent them; each VM comes back with its whole array")
        }
    }

    private func apply(_ followed: FollowedTransaction, _ vm: ObservedVM) {
        do throws(SubmitError) {
            let generation = try vm.record(
                followed.slots,
                of: ObservedVM.Transaction(
                    operations: followed.operations,
                    quiesced: followed.commit.map { $0.reason != .pass } ?? false,
                    durations: followed.durations))
            service.announce(
                RunNotification.transaction(followed, of: vm.name, generation: generation),
                toFollowersOf: vm.name)
        } catch { complain(vm.name, error.message) }
    }

    private func complain(_ name: String, _ reason: String) {
        Terminal.complain("memslotctl run: VM \"\(name)\" can't be shown on the socket: \(reason)")
    }
}

extension FollowedTransaction {
    fileprivate var durations: Receipt.Durations {
        var durations = Receipt.Durations()
        durations.nanoseconds.apply = commit?.appliedNanoseconds ?? callNanoseconds
        durations.nanoseconds.blackout = commit?.heldNanoseconds ?? 0
        durations.nanoseconds.total = commit?.heldNanoseconds ?? nanoseconds
        return durations
    }
}
