public import Memslots

/// The result of a command.
public enum Reply: Sendable {
    /// An empty result: of `memory.destroy`, `observer.detach` and `events.unsubscribe`.
    case done
    /// The VM's name: of `vm.destroy`, `fault.inject` and `guest.touch`.
    case vm(String)
    /// The result of `server.info`.
    case serverInfo(ServerInfo)
    /// The result of `vm.create`. The backend is `simulated` or `kvm`.
    case created(vm: String, backend: String, capabilities: Capabilities)
    /// The result of `vm.list`.
    case vms([ListedVM])
    /// The result of `vm.recover`.
    case recovered(vm: String, generation: Generation)
    /// The result of `memory.create`.
    case memory(ListedMemory)
    /// The result of `memory.list`.
    case memories([ListedMemory])
    /// The result of `memory.export`, with one descriptor for the caller to claim.
    case exported(memory: String, size: ByteCount, PassedDescriptors)
    /// The result of `observer.attach`.
    case observer(ObserverReport)
    /// The result of `observer.list`.
    case observers([ObserverReport])
    /// The result of `memslots.submit` and `memslots.plan`.
    case receipt(ReceiptMessage)
    /// The result of `memslots.get`.
    case array(ArrayMessage)
    /// The result of `memslots.translate`, in the order of the request.
    case translations(generation: Generation, [Translated])
    /// The result of `memslots.history`, oldest first.
    case history([ReceiptMessage], next: Generation?)
    /// The result of `dirtylog.get`: how many pages the bitmap covers, how many are dirty, and a
    /// bit for each page. Bit 0 of byte 0 is the first page. Of a memory object, also how many
    /// pages a slot logs.
    case dirtyLog(
        pageCount: UInt64, loggedCount: UInt64? = nil, dirtyCount: UInt64,
        pageSize: ByteCount = .page, bitmap: [UInt8])
    /// The result of `events.subscribe`: the arrays that no event repeats.
    case subscribed([ArrayMessage])
    /// The result of `metrics.get`.
    case metrics(MetricsMessage)
    /// The result of `run.setAtomic`.
    case atomic(Bool)
}

/// A VM in a list.
public struct ListedVM: Sendable {
    /// The VM's name.
    public var vm: String
    /// `simulated` or `kvm`.
    public var backend: String
    /// The generation of its array.
    public var generation: Generation
    /// How many slots are installed.
    public var slotCount: Int
    /// A Boolean value that indicates whether an undo failed.
    public var isFailed: Bool
    /// A Boolean value that indicates whether another process changes the VM, and this one reports
    /// the changes.
    public var isObserved: Bool

    package init(
        vm: String, backend: String, generation: Generation, slotCount: Int, isFailed: Bool,
        isObserved: Bool
    ) {
        (self.vm, self.backend, self.generation) = (vm, backend, generation)
        (self.slotCount, self.isFailed, self.isObserved) = (slotCount, isFailed, isObserved)
    }
}

/// A memory object, or a mapping of the embedding process.
public struct ListedMemory: Sendable {
    /// Its name.
    public var memory: String
    /// The size in bytes.
    public var size: ByteCount
    /// The size of a page in bytes: 4096, or that of huge pages.
    public var pageSize: ByteCount

    package init(memory: String, size: ByteCount, pageSize: ByteCount) {
        (self.memory, self.size, self.pageSize) = (memory, size, pageSize)
    }
}

/// The result for one element of a translation.
public enum Translated: Sendable {
    /// Of an address; `nil` if no slot is there.
    case address(TranslatedAddress?)
    /// Of a range: its pieces in order, each with its size; `nil` where no slot is.
    case range([(place: TranslatedAddress?, size: ByteCount)])
}

/// The place in memory of a guest physical address.
public struct TranslatedAddress: Sendable {
    /// The slot.
    public var slot: SlotKey
    /// Bytes from the slot's beginning.
    public var offset: ByteCount
    /// The memory at this offset.
    public var backing: SlotBacking
    /// The slot's flags.
    public var flags: MemslotFlags

    package init(slot: SlotKey, offset: ByteCount, backing: SlotBacking, flags: MemslotFlags) {
        (self.slot, self.offset, self.backing, self.flags) = (slot, offset, backing, flags)
    }
}
