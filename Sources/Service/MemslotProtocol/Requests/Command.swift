public import Memslots

/// The methods of the wire, by their names.
public enum Method: String, CaseIterable, Sendable {
    /// Describes the server: its version, backends and limits.
    case serverInfo = "server.info"
    /// Creates a VM.
    case vmCreate = "vm.create"
    /// Lists the VMs.
    case vmList = "vm.list"
    /// Destroys a VM.
    case vmDestroy = "vm.destroy"
    /// Retries the undo of a failed VM.
    case vmRecover = "vm.recover"
    /// Creates a memory object.
    case memoryCreate = "memory.create"
    /// Lists a VM's memory objects.
    case memoryList = "memory.list"
    /// Destroys a memory object.
    case memoryDestroy = "memory.destroy"
    /// Passes a memory object's descriptor.
    case memoryExport = "memory.export"
    /// Replaces a VM's array.
    case memslotsSubmit = "memslots.submit"
    /// Returns the receipt that a submit would return.
    case memslotsPlan = "memslots.plan"
    /// Returns the array.
    case memslotsGet = "memslots.get"
    /// Translates guest physical addresses.
    case memslotsTranslate = "memslots.translate"
    /// Returns the last receipts.
    case memslotsHistory = "memslots.history"
    /// Keeps a vhost-user back end in step with a VM's table.
    case observerAttach = "observer.attach"
    /// Lists a VM's observers.
    case observerList = "observer.list"
    /// Ends the connection of an observer.
    case observerDetach = "observer.detach"
    /// Returns the dirty pages of a slot.
    case dirtylogGet = "dirtylog.get"
    /// Begins to send events.
    case eventsSubscribe = "events.subscribe"
    /// Stops sending events.
    case eventsUnsubscribe = "events.unsubscribe"
    /// Arms a fault of a simulated VM.
    case faultInject = "fault.inject"
    /// Writes to memory as a simulated guest.
    case guestTouch = "guest.touch"
    /// Returns counters and histograms.
    case metricsGet = "metrics.get"
    /// Switches `--atomic` of `memslotctl run` off or on.
    case runSetAtomic = "run.setAtomic"

    /// What to do where people expect a method that makes memory private.
    static let noAttributes =
        "memslots.submit makes guest ranges private, with the complete list as attributes"

    /// The method that a message names; `nil` if no method has this name.
    init?(_ value: JSONValue) {
        guard let method = Self.allCases.first(where: { value.isString($0.rawValue) }) else {
            return nil
        }
        self = method
    }
}

/// A method with its parameters: what a client asks of the service.
public enum Command: Sendable {
    /// `server.info`.
    case serverInfo
    /// `vm.create`.
    case createVM(VMCreateParameters)
    /// `vm.list`.
    case listVMs
    /// `vm.destroy`.
    case destroyVM(vm: String)
    /// `vm.recover`.
    case recoverVM(vm: String)
    /// `memory.create`.
    case createMemory(MemoryCreateParameters)
    /// `memory.list`.
    case listMemory(vm: String)
    /// `memory.destroy`.
    case destroyMemory(vm: String, memory: String)
    /// `memory.export`.
    case exportMemory(vm: String, memory: String)
    /// `memslots.submit`.
    case submit(SubmitParameters)
    /// `memslots.plan`.
    case plan(SubmitParameters)
    /// `memslots.get`.
    case getSlots(vm: String, generation: Generation? = nil)
    /// `memslots.translate`.
    case translate(TranslateParameters)
    /// `memslots.history`.
    case getHistory(HistoryParameters)
    /// `observer.attach`.
    case attachObserver(ObserverParameters)
    /// `observer.list`.
    case listObservers(vm: String)
    /// `observer.detach`.
    case detachObserver(vm: String, observer: String)
    /// `dirtylog.get`.
    case getDirtyLog(DirtyLogParameters)
    /// `events.subscribe`; to all VMs where `vm` is `nil`.
    case subscribe(vm: String?)
    /// `events.unsubscribe`; from all VMs where `vm` is `nil`.
    case unsubscribe(vm: String?)
    /// `fault.inject`.
    case injectFault(FaultParameters)
    /// `guest.touch`.
    case touch(TouchParameters)
    /// `metrics.get`.
    case getMetrics
    /// `run.setAtomic`.
    case setAtomic(Bool)

    /// Decodes the parameters of a method. Throws the first fault, `invalid-params` with its path.
    package init(_ method: Method, _ params: JSONValue?) throws(ProtocolError) {
        func named(
            _ members: MemberTable<NameParameters.Member>
        ) throws(ProtocolError) -> NameParameters { try NameParameters(params, among: members) }
        func withoutMembers(_ command: Command) throws(ProtocolError) -> Command {
            _ = try NameParameters(params)
            return command
        }
        switch method {
        case .serverInfo: self = try withoutMembers(.serverInfo)
        case .vmList: self = try withoutMembers(.listVMs)
        case .metricsGet: self = try withoutMembers(.getMetrics)
        case .vmCreate: self = .createVM(try VMCreateParameters(params))
        case .vmDestroy: self = .destroyVM(vm: try named(NameParameters.vm).vm)
        case .vmRecover: self = .recoverVM(vm: try named(NameParameters.vm).vm)
        case .memoryCreate: self = .createMemory(try MemoryCreateParameters(params))
        case .memoryList: self = .listMemory(vm: try named(NameParameters.vm).vm)
        case .memoryDestroy:
            let object = try named(NameParameters.memory)
            self = .destroyMemory(vm: object.vm, memory: object.name)
        case .memoryExport:
            let object = try named(NameParameters.memory)
            self = .exportMemory(vm: object.vm, memory: object.name)
        case .memslotsSubmit: self = .submit(try SubmitParameters(params))
        case .memslotsPlan: self = .plan(try SubmitParameters(params))
        case .memslotsGet:
            let array = try named(NameParameters.array)
            self = .getSlots(vm: array.vm, generation: array.generation)
        case .memslotsTranslate: self = .translate(try TranslateParameters(params))
        case .memslotsHistory: self = .getHistory(try HistoryParameters(params))
        case .observerAttach: self = .attachObserver(try ObserverParameters(params))
        case .observerList: self = .listObservers(vm: try named(NameParameters.vm).vm)
        case .observerDetach:
            let observer = try named(NameParameters.observer)
            self = .detachObserver(vm: observer.vm, observer: observer.name)
        case .dirtylogGet: self = .getDirtyLog(try DirtyLogParameters(params))
        case .eventsSubscribe: self = .subscribe(vm: try named(NameParameters.anyVM).anyVM)
        case .eventsUnsubscribe: self = .unsubscribe(vm: try named(NameParameters.anyVM).anyVM)
        case .faultInject: self = .injectFault(try FaultParameters(params))
        case .guestTouch: self = .touch(try TouchParameters(params))
        case .runSetAtomic: self = .setAtomic(try named(NameParameters.atomic).isAtomic)
        }
    }

    /// The method.
    public var method: Method {
        switch self {
        case .serverInfo: .serverInfo
        case .createVM: .vmCreate
        case .listVMs: .vmList
        case .destroyVM: .vmDestroy
        case .recoverVM: .vmRecover
        case .createMemory: .memoryCreate
        case .listMemory: .memoryList
        case .destroyMemory: .memoryDestroy
        case .exportMemory: .memoryExport
        case .submit: .memslotsSubmit
        case .plan: .memslotsPlan
        case .getSlots: .memslotsGet
        case .translate: .memslotsTranslate
        case .getHistory: .memslotsHistory
        case .attachObserver: .observerAttach
        case .listObservers: .observerList
        case .detachObserver: .observerDetach
        case .getDirtyLog: .dirtylogGet
        case .subscribe: .eventsSubscribe
        case .unsubscribe: .eventsUnsubscribe
        case .injectFault: .faultInject
        case .touch: .guestTouch
        case .getMetrics: .metricsGet
        case .setAtomic: .runSetAtomic
        }
    }
}
