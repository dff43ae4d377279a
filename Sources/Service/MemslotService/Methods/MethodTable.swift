internal import MemslotProtocol
internal import Memslots

extension Method {
    /// Whether the method only looks.
    var isReading: Bool {
        switch self {
        case .serverInfo, .vmList, .memoryList, .memslotsPlan, .memslotsGet,
            .memslotsTranslate, .memslotsHistory, .eventsSubscribe, .eventsUnsubscribe,
            .metricsGet, .dirtylogGet:
            // A look at a dirty log that clears it is refused where that is read.
            true
        default: false
        }
    }
}

extension MemslotService {
    /// Carries `method` out and writes its result.
    func carryOut(
        _ method: Method, _ request: Request, _ exchange: inout Exchange,
        into writer: inout JSONWriter
    ) throws(ProtocolError) {
        let peer = exchange.peer
        switch method {
        case .serverInfo: try serverInfo(request, peer, into: &writer)
        case .vmCreate: try createVM(request, peer, into: &writer)
        case .vmList: try listVMs(request, peer, into: &writer)
        case .vmDestroy: try destroyVM(request, peer, into: &writer)
        case .vmRecover: try recoverVM(request, peer, into: &writer)
        case .memoryCreate: try createMemory(request, &exchange, into: &writer)
        case .memoryList: try listMemory(request, peer, into: &writer)
        case .memoryDestroy: try destroyMemory(request, peer, into: &writer)
        case .memslotsSubmit: try submit(request, peer, into: &writer)
        case .memslotsPlan: try plan(request, peer, into: &writer)
        case .memslotsGet: try getSlots(request, peer, into: &writer)
        case .memslotsTranslate: try translate(request, peer, into: &writer)
        case .memslotsHistory: try history(request, peer, into: &writer)
        case .dirtylogGet: try getDirtyLog(request, peer, into: &writer)
        case .faultInject: try injectFault(request, peer, into: &writer)
        case .guestTouch: try touch(request, peer, into: &writer)
        case .memoryExport: try exportMemory(request, &exchange, into: &writer)
        case .eventsSubscribe: try subscribe(request, exchange, into: &writer)
        case .eventsUnsubscribe: try unsubscribe(request, peer, into: &writer)
        case .metricsGet: try getMetrics(request, peer, into: &writer)
        }
    }

    /// Reads the parameters of a request that names a VM.
    ///
    /// The order of judgement is the protocol's: the VM is known, it has not failed, and only then
    /// the members.
    func read<Parameters>(
        _ request: Request, _ peer: Peer, refusingFailed: Bool = false,
        as parse: (JSONValue?) throws(ProtocolError) -> Parameters
    ) throws(ProtocolError) -> (vm: VirtualMachine, parameters: Parameters) {
        guard let name = request.vmName else {
            // Not there, or no string: the parameters themselves say so.
            _ = try parse(request.params)
            throw ProtocolError(
                ErrorData(.invalidParams, path: "vm"), message: "vm: expected a string")
        }
        guard let vm = registry.withLock({ $0.vm(name, of: peer) }) else {
            throw missing(name, peer)
        }
        if refusingFailed, let failure = vm.table.failure { throw ProtocolError(failure) }
        return (vm, try parse(request.params))
    }
}
