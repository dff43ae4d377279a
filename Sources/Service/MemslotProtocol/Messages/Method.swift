/// The methods of the wire, by their names.
public enum Method: String, CaseIterable, Sendable {
    /// What the server is and can do.
    case serverInfo = "server.info"
    /// Opens a VM.
    case vmCreate = "vm.create"
    /// Lists the VMs.
    case vmList = "vm.list"
    /// Ends a VM.
    case vmDestroy = "vm.destroy"
    /// Tries the undo of a failed VM again.
    case vmRecover = "vm.recover"
    /// Makes a memory object.
    case memoryCreate = "memory.create"
    /// Lists a VM's memory objects.
    case memoryList = "memory.list"
    /// Gives a memory object back.
    case memoryDestroy = "memory.destroy"
    /// Passes a memory object's descriptor.
    case memoryExport = "memory.export"
    /// Makes a complete array the VM's.
    case memslotsSubmit = "memslots.submit"
    /// Says what a submit would do.
    case memslotsPlan = "memslots.plan"
    /// The array as it is.
    case memslotsGet = "memslots.get"
    /// What is behind guest physical addresses.
    case memslotsTranslate = "memslots.translate"
    /// The last receipts.
    case memslotsHistory = "memslots.history"
    /// The dirty pages of a slot.
    case dirtylogGet = "dirtylog.get"
    /// Begins to send events.
    case eventsSubscribe = "events.subscribe"
    /// Ends sending events.
    case eventsUnsubscribe = "events.unsubscribe"
    /// Arms a fault of a simulated VM.
    case faultInject = "fault.inject"
    /// Writes as a simulated guest.
    case guestTouch = "guest.touch"
    /// Counters and histograms.
    case metricsGet = "metrics.get"

    /// The method that a message names; `nil` if there is none of this name.
    init?(_ value: JSONValue) {
        guard let method = Self.allCases.first(where: { value.isString($0.rawValue) }) else {
            return nil
        }
        self = method
    }
}
