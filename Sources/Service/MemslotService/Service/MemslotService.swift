public import MemslotProtocol
public import Memslots

/// VMs by name, and the methods of the wire protocol on them.
///
/// It knows no socket: a command comes in, a reply goes out. The daemon's connections, a
/// scenario's replay and an embedding VMM all call it the same way. Call from any thread; commands
/// for one VM are executed in the order of the calls.
public final class MemslotService: Sendable {
    /// The limits, which `server.info` reports.
    public let limits: ServiceLimits
    let allowsRawAddresses: Bool
    let budgets: Budgets
    let registry: Locked<VMRegistry>
    let backends: BackendFactory
    let audience = TableAudience()
    /// The sockets of all observers, and of those that have ended until their relays have.
    let observerSockets = Locked<[ObserverSocket]>([])
    /// Where VMs are kept; `nil` to keep none.
    let state: StateStore?
    /// The user who may switch `--atomic`, and how; `nil` where no run is served.
    private let atomicity = Locked<(user: UInt32, set: @Sendable (Bool) -> Void)?>(nil)

    /// A service without VMs.
    ///
    /// - Parameters:
    ///   - limits: the limits, which `server.info` reports.
    ///   - allowsRawAddresses: whether slots of KVM VMs may name addresses of this process. Set it
    ///     only where every peer is this process: any other peer could map the service's own
    ///     memory into its guest.
    ///   - kvmDevice: the path of KVM's device. It is opened when it is first needed.
    ///   - state: where VMs are kept after this process ends; call ``restore()`` before any other
    ///     method. `nil` to keep none.
    public init(
        limits: ServiceLimits = ServiceLimits(), allowsRawAddresses: Bool = false,
        kvmDevice: String = "/dev/kvm", state: StateStore? = nil
    ) {
        (self.state, self.backends) = (state, BackendFactory(device: kvmDevice))
        self.limits = limits
        budgets = Budgets(limits)
        registry = Locked(VMRegistry(budgets))
        self.allowsRawAddresses = allowsRawAddresses
    }

    /// Sets the function that receives the events of every table, for a log. It replaces the
    /// function that was set before.
    ///
    /// - Parameter observer: called with the event, the VM's name and its user, in order for each
    ///   VM. It is called inside the VM's transactions: it must be short, and must neither wait nor
    ///   call the service.
    public func observeTables(
        _ observer: @escaping @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void
    ) {
        audience.set(observer)
    }

    /// Lets a user switch off and on whether the VMM of another process is changed atomically.
    package func controlAtomicity(by user: UInt32, _ set: @escaping @Sendable (Bool) -> Void) {
        atomicity.withLock { $0 = (user, set) }
    }

    private func setAtomic(_ isAtomic: Bool, _ peer: Peer) throws(ProtocolError) -> Reply {
        guard let run = atomicity.withLock({ $0 }) else {
            throw ProtocolError(
                .wrongBackend,
                "nothing here is run with --atomic: use the socket of memslotctl run --atomic")
        }
        guard peer.user == run.user else {
            throw ProtocolError(
                .notPermitted, "only user \(run.user), who started the run, may switch --atomic")
        }
        run.set(isAtomic)
        return .atomic(isAtomic)
    }

    /// Ends a connection: its ephemeral VMs are destroyed, and it receives no more events.
    public func end(_ connection: ServiceConnection) {
        let ended = registry.withLock { $0.end(connection.peer) }
        // Released outside the lock: this unmaps the VMs' memory.
        _ = consume ended
    }

    /// Executes a command.
    ///
    /// After `.subscribe`, events may be in the connection's queue before this returns. Send them
    /// after the reply.
    ///
    /// - Parameters:
    ///   - command: what to do.
    ///   - connection: the connection of the peer that asks.
    ///   - descriptors: the descriptors that came with the command, for `.createMemory` and
    ///     `.attachObserver`.
    /// - Throws: why the command is refused. It has no effect then.
    public func execute(
        _ command: Command, on connection: ServiceConnection, descriptors: PassedDescriptors = .none
    ) throws(ProtocolError) -> Reply {
        let peer = connection.peer
        let metrics = metrics(of: peer)
        metrics.add(.requests)
        do throws(ProtocolError) {
            try checkRole(of: peer, for: command.method)
            let charge = try charge(for: command, peer)
            defer { withExtendedLifetime(charge) {} }
            return switch command {
            case .serverInfo: serverInfo(peer)
            case .createVM(let parameters): try createVM(parameters, peer)
            case .listVMs: listVMs(peer)
            case .destroyVM(let vm): try destroyVM(vm, peer)
            case .recoverVM(let vm): try recoverVM(vm, peer)
            case .createMemory(let parameters): try createMemory(parameters, peer, descriptors)
            case .listMemory(let vm): try listMemory(of: vm, peer)
            case .destroyMemory(let vm, let memory): try destroyMemory(memory, of: vm, peer)
            case .exportMemory(let vm, let memory): try exportMemory(memory, of: vm, peer)
            case .attachObserver(let parameters): try attachObserver(parameters, peer, descriptors)
            case .listObservers(let vm): try listObservers(of: vm, peer)
            case .detachObserver(let vm, let observer): try detachObserver(observer, from: vm, peer)
            case .submit(let parameters): try submit(parameters, peer)
            case .plan(let parameters): try plan(parameters, peer)
            case .getSlots(let vm, let generation): try getSlots(of: vm, at: generation, peer)
            case .translate(let parameters): try translate(parameters, peer)
            case .getHistory(let parameters): try getHistory(parameters, peer)
            case .getDirtyLog(let parameters): try getDirtyLog(parameters, peer)
            case .subscribe(let vm): try subscribe(to: vm, connection)
            case .unsubscribe(let vm): try unsubscribe(from: vm, peer)
            case .injectFault(let parameters): try injectFault(parameters, peer)
            case .touch(let parameters): try touch(parameters, peer)
            case .getMetrics: getMetrics(peer)
            case .setAtomic(let isAtomic): try setAtomic(isAtomic, peer)
            }
        } catch {
            metrics.add(.errors)
            throw error
        }
    }

    /// Executes the requests of a line in order, and encodes their replies into one line.
    ///
    /// - Parameters:
    ///   - line: a line that `RequestDecoder` decoded.
    ///   - connection: the connection that the line came from.
    ///   - descriptors: the descriptors that came with the line.
    ///   - reserve: called before the reply to a single request is encoded, with at least as many
    ///     bytes as it has. May wait.
    /// - Returns: the encoded line, and the descriptors to send with it; empty where no request
    ///   gets a reply.
    public func respond(
        to line: DecodedLine, on connection: ServiceConnection,
        descriptors: PassedDescriptors = .none, reserve: (Int) -> Void = { _ in }
    ) -> ReplyEncoder {
        var encoder = ReplyEncoder()
        switch line {
        case .single(let request):
            encodeReply(to: request, connection, descriptors, into: &encoder, reserve)
        case .batch(let requests):
            encoder.beginBatch()
            for request in requests {
                // A short batch can ask for more than there is memory.
                if encoder.count > limits.batchAnswerBytes {
                    let message =
                        "the replies to this batch have over \(limits.batchAnswerBytes) bytes "
                        + "already; send the rest by itself"
                    encoder.encode(.limit("batchAnswerBytes", message), for: request)
                } else {
                    encodeReply(to: request, connection, descriptors, into: &encoder) { _ in }
                }
            }
            encoder.endBatch()
        }
        return encoder
    }

    private func encodeReply(
        to request: Request, _ connection: ServiceConnection, _ descriptors: PassedDescriptors,
        into encoder: inout ReplyEncoder, _ reserve: (Int) -> Void
    ) {
        do throws(ProtocolError) {
            let reply: Reply
            switch request.command {
            case .success(let command):
                try checkDescriptors(of: encoder, for: command)
                reply = try execute(command, on: connection, descriptors: descriptors)
            case .failure(let invalid):
                let metrics = metrics(of: connection.peer)
                metrics.add(.requests)
                metrics.add(.errors)
                throw error(of: invalid, vm: request.vm, connection.peer)
            }
            guard let id = request.id else { return }
            let bound = reply.byteBound + id.rawBytes.count
            // A committed array can't be refused any more.
            if case .receipt = reply {} else { try checkReply(bound) }
            reserve(bound)
            if bound > RequestCost.freeBytes { encoder.reserve(bound) }
            encoder.encode(reply, id: id)
        } catch {
            guard let id = request.id else { return }
            reserve(error.byteBound + id.rawBytes.count)
            encoder.encode(error, id: id)
        }
    }

    func checkReply(_ bytes: Int) throws(ProtocolError) {
        guard bytes > limits.replyBytes else { return }
        throw .limit(
            "replyBytes",
            "the reply would have up to \(bytes) bytes; the limit is \(limits.replyBytes), "
                + "ask for less at once")
    }

    private func metrics(of peer: Peer) -> Metrics {
        registry.withLock { $0.account(of: peer.user) }.metrics
    }

    // MARK: - The order of checks

    /// The error of an invalid request.
    ///
    /// The protocol fixes the order: the role, whether the VM exists, whether it has failed, and
    /// only then the parameters.
    private func error(
        of invalid: InvalidRequest, vm name: String?, _ peer: Peer
    ) -> ProtocolError {
        guard case .parameters(let error, let method) = invalid else { return invalid.error }
        do throws(ProtocolError) {
            try checkRole(of: peer, for: method)
            if let name, method.checksVM {
                _ = try vm(name, of: peer, refusingFailed: method.refusesFailedVM)
            }
            return error
        } catch { return error }
    }

    private func checkRole(of peer: Peer, for method: Method) throws(ProtocolError) {
        guard peer.role == .readOnly && !method.isReading else { return }
        throw ProtocolError(
            .notPermitted, "\(method.rawValue) changes something; this peer may only read")
    }

    private func checkDescriptors(
        of encoder: borrowing ReplyEncoder, for command: Command
    ) throws(ProtocolError) {
        guard case .exportMemory = command, encoder.descriptors.open.count >= limits.descriptors
        else { return }
        throw .limit(
            "descriptors", "at most \(limits.descriptors) descriptors are sent with one line")
    }

    /// The VM that a command names, which may be failed unless `refusingFailed`.
    func vm(
        _ name: String, of peer: Peer, refusingFailed: Bool = false
    ) throws(ProtocolError) -> VirtualMachine {
        guard let vm = registry.withLock({ $0.vm(name, of: peer) }) else {
            throw missing(name, peer)
        }
        if refusingFailed, let failure = vm.table.failure { throw ProtocolError(failure) }
        return vm
    }
}

extension Method {
    /// A Boolean value that indicates whether a read-only peer may use the method. It may not
    /// clear a dirty log; `dirtylog.get` checks that itself.
    fileprivate var isReading: Bool {
        switch self {
        case .serverInfo, .vmList, .memoryList, .observerList, .memslotsPlan, .memslotsGet,
            .memslotsTranslate,
            .memslotsHistory, .eventsSubscribe, .eventsUnsubscribe, .metricsGet, .dirtylogGet:
            true
        // Checks its peer itself.
        case .runSetAtomic: true
        default: false
        }
    }

    /// A Boolean value that indicates whether the VM that the parameters name must exist.
    fileprivate var checksVM: Bool {
        ![.serverInfo, .vmCreate, .vmList, .metricsGet, .runSetAtomic].contains(self)
    }

    /// A Boolean value that indicates whether the method refuses a failed VM.
    fileprivate var refusesFailedVM: Bool {
        [.memslotsSubmit, .memslotsPlan, .dirtylogGet, .guestTouch, .observerAttach].contains(self)
    }
}
