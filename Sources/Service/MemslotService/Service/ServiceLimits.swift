internal import MemslotProtocol

/// The limits of a service. `server.info` reports them.
public struct ServiceLimits: Hashable, Sendable {
    /// Bytes of anonymous memory of the whole process. The memory of guests is not part of it.
    public var memoryLimit = 0
    /// Bytes that the process takes without any peer.
    public var baseBytes = 32 << 20
    /// Bytes that a connection takes while it is idle: its buffers, and small replies.
    public var connectionBytes = 200 << 10
    /// Bytes that a thread takes: its stack, and a small request.
    public var threadBytes = ConnectionThreads.stackBytes + RequestCost.freeBytes
    /// Bytes that a VM without slots takes.
    public var vmBytes = 16 << 10
    /// Bytes that a slot takes: in both arrays, their indices, and the simulator.
    public var slotBytes = 1 << 10
    /// Bytes that a memory object takes beside its memory, which is the guest's.
    public var memoryObjectBytes = 1 << 10
    /// Bytes that a subscription takes.
    public var subscriptionBytes = 512
    /// Bytes that an observer takes.
    public var observerBytes = 256 << 10
    /// Bytes of lines that are received or wait, and of requests that are executed.
    public var requestBytes = 2 << 30
    /// As ``requestBytes``, for one user.
    public var requestBytesPerPeer = 1 << 30
    /// Bytes of events that wait for their subscribers.
    public var eventBytes = 256 << 20
    /// As ``eventBytes``, for one user.
    public var eventBytesPerPeer = 128 << 20
    /// Bytes of the dirty bits that the server keeps for slots that log.
    public var dirtyBytes = 1 << 30
    /// As ``dirtyBytes``, for one user.
    public var dirtyBytesPerPeer = 512 << 20
    /// Bytes of a request line.
    public var lineBytes = 16 << 20
    /// How deep containers may nest in a request.
    public var depth = 64
    /// Requests of a batch.
    public var batch = 65_536
    /// Bytes of the replies to a batch. After that the rest of the batch is refused.
    public var batchAnswerBytes = 64 << 20
    /// Bytes of one reply. A larger one is refused, but the receipt of a committed array is not.
    public var replyBytes = 64 << 20
    /// Bytes of replies of all connections that are being encoded, or that are not read. A request
    /// without room waits.
    public var unreadReplyBytes = 512 << 20
    /// As ``unreadReplyBytes``, for one user.
    public var unreadReplyBytesPerPeer = 256 << 20
    /// Descriptors of one line, in either direction.
    public var descriptors = 16
    /// Descriptors of requests that are not finished, and of replies that are not read, of all users.
    public var passedDescriptors = 2_048
    /// As ``passedDescriptors``, for one user.
    public var passedDescriptorsPerPeer = 1_024
    /// VMs of all users together, of which a part is reserved for root and the server's own user;
    /// so for all totals below.
    public var vms = 2_048
    /// VMs of one user.
    public var vmsPerPeer = 1_024
    /// Slots of all VMs, and private ranges.
    public var slots = 1 << 22
    /// Slots of all VMs of one user together.
    public var slotsPerPeer = 1 << 21
    /// Memory objects of all users.
    public var memories = 8_192
    /// Memory objects of one user, in all its VMs.
    public var memoriesPerPeer = 4_096
    /// Bytes of all memory objects.
    public var memoryBytes: UInt64 = 1 << 45
    /// Bytes of all memory objects of one user together.
    public var memoryBytesPerPeer: UInt64 = 1 << 44
    /// Bytes that the kernel allocates for the slots of all KVM VMs.
    public var kernelMemory: UInt64 = 1 << 36
    /// As ``kernelMemory``, for one user.
    public var kernelMemoryPerPeer: UInt64 = 1 << 35
    /// Subscriptions of all users.
    public var subscriptions = 8_192
    /// Subscriptions of one user on all its connections: one for each VM, and one for "all".
    public var subscriptionsPerPeer = 4_096
    /// Observers of all VMs. One whose socket can't be closed counts until it is.
    public var observers = 64
    /// Observers of all VMs of one user together.
    public var observersPerPeer = 32
    /// Receipts in the history of a VM.
    public var receipts = 1_024
    /// Bytes of the receipts of all VMs, about. The oldest of a user go first.
    public var receiptBytes = 256 << 20
    /// Bytes of the receipts of all VMs of one user, about.
    public var receiptBytesPerPeer = 128 << 20
    /// Faults that are listed for one array. All are counted.
    public var violations = 1_024
    /// Private ranges of one submit, which count among the slots.
    public var attributes = 32_764
    /// Addresses of one `memslots.translate`.
    public var addresses = 1 << 16
    /// Pages of one `dirtylog.get`. A larger slot is read in parts.
    public var dirtyLogPages: UInt64 = 1 << 26
    /// The longest `quiesceDeadlineMs`, in milliseconds.
    public var quiesceDeadlineMs: UInt64 = 600_000
    /// Faults that are armed at once in a simulated VM.
    public var armedFaults = 1_024
    /// Connections at once. One that could not be closed counts until it is.
    public var connections = 512
    /// Connections of one user at once.
    public var connectionsPerPeer = 256
    /// How long a connection may send no request while more than half of all connections are used,
    /// in milliseconds.
    public var firstRequestMs = 30_000
    /// Requests of a connection that wait or run. At the limit the connection is not read.
    public var inFlightRequests = 1_024
    /// Bytes of a connection's requests that wait for others. Above that it is not read.
    public var waitingRequestBytes = 32 << 20
    /// Bytes of replies that a peer has not read. Above that no request of it begins.
    public var waitingAnswerBytes = 1 << 20
    /// Threads of one connection, including the one that reads.
    public var threadsPerConnection = 64
    /// Threads of all connections.
    public var threads = 2_048
    /// Threads of all connections of one user.
    public var threadsPerPeer = 1_024
    /// Notifications that wait for a subscriber.
    public var queuedEvents = 1_024

    /// The defaults.
    public init() { memoryLimit = neededMemory }

    /// Descriptors that the server needs where every limit is reached.
    ///
    /// A connection has its socket and two of its receiver, a VM one or two, a memory object one, an
    /// observer three.
    package var neededDescriptors: Int {
        Self.ownDescriptors + 3 * connections + passedDescriptors + 2 * vms + memories
            + 3 * observers
    }

    /// What the server has open without any peer.
    private static let ownDescriptors = 64

    /// Lowers the limits of what costs descriptors, in proportion, so that they need no more than
    /// `available`. Returns whether anything was lowered.
    package mutating func lower(toDescriptors available: Int) -> Bool {
        let (room, needed) = (available - Self.ownDescriptors, neededDescriptors)
        guard needed > available else { return false }
        let counts: [WritableKeyPath<ServiceLimits, Int>] = [
            \.connections, \.connectionsPerPeer, \.passedDescriptors, \.passedDescriptorsPerPeer,
            \.vms, \.vmsPerPeer, \.memories, \.memoriesPerPeer, \.observers, \.observersPerPeer,
        ]
        for count in counts {
            let part = self[keyPath: count] * max(room, 0) / (needed - Self.ownDescriptors)
            self[keyPath: count] = max(part, 1)
        }
        return true
    }

    /// The properties in their order, as `server.info` lists them by their names.
    var all: [NamedValue] {
        Mirror(reflecting: self).children.compactMap { name, value in
            guard let name, let value = value as? any BinaryInteger else { return nil }
            return NamedValue(name, UInt64(clamping: value))
        }
    }

    var named: [String: UInt64] {
        Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0.value) })
    }
}

// MARK: - Memory
extension ServiceLimits {
    /// Bytes of anonymous memory that the process has where every limit is reached.
    package var neededMemory: Int {
        let counted = [
            (connections, connectionBytes), (threads, threadBytes), (vms, vmBytes),
            (slots, slotBytes), (memories, memoryObjectBytes), (subscriptions, subscriptionBytes),
            (observers, observerBytes),
        ]
        let budgets =
            baseBytes + requestBytes + unreadReplyBytes + receiptBytes + eventBytes + dirtyBytes
        return counted.reduce(budgets) { sum, counted in
            let (bytes, isTooLarge) = counted.0.multipliedReportingOverflow(by: counted.1)
            let (added, overflows) = sum.addingReportingOverflow(bytes)
            return isTooLarge || overflows ? .max : added
        }
    }

    /// The least that ``memoryLimit`` can be.
    package var leastMemory: Int { least.neededMemory }

    /// These limits with the least memory: a single peer still has what the protocol promises.
    private var least: ServiceLimits {
        parts.reduce(into: self) { least, part in
            least[keyPath: part.total] = min(least[keyPath: part.total], part.least)
        }
    }

    /// Sets the limit of memory, and lowers the limits of what takes memory, so that all of them
    /// together keep it. Returns false if they can't be that low; nothing is changed then.
    package mutating func lower(toMemory bytes: Int) -> Bool {
        let (least, most) = (least, neededMemory)
        let needed = least.neededMemory
        guard bytes >= needed else { return false }
        memoryLimit = bytes
        guard bytes < most else { return true }
        // All of them by the same part of their room.
        let room = Double(bytes - needed) / Double(most - needed)
        for (total, share, _) in parts {
            let low = least[keyPath: total]
            self[keyPath: total] = low + Int(Double(self[keyPath: total] - low) * room)
            self[keyPath: share] = min(self[keyPath: share], self[keyPath: total] / 2)
        }
        // A peer's longest line, decoded, also where that is more than half.
        requestBytesPerPeer = max(requestBytesPerPeer, min(18 * lineBytes, requestBytes * 6 / 7))
        batchAnswerBytes = min(batchAnswerBytes, unreadReplyBytesPerPeer / 4)
        replyBytes = min(replyBytes, unreadReplyBytesPerPeer / 4)
        return true
    }

    /// The limit of memory that a server has by default: half of the host's memory. On a small host
    /// it is what the default limits need at least: a bound of the worst case, which no server
    /// without peers comes near. It may be more than a very small host has.
    package func defaultMemory(half: Int) -> Int {
        max(half, min(leastMemory, ServiceLimits().leastMemory))
    }

    /// The limits that are below their defaults, by their names.
    package var lowered: [String: UInt64] {
        let usual = ServiceLimits().named
        return named.filter { name, value in value < usual[name] ?? 0 }
    }

    private typealias Count = WritableKeyPath<ServiceLimits, Int>

    /// What the limit of memory lowers: the total, the share of a peer, and to what at least: a
    /// thread for each connection; one peer's line and its requests; a VM's slots.
    private var parts: [(total: Count, share: Count, least: Int)] {
        [
            (\.threads, \.threadsPerPeer, connections + 64), (\.slots, \.slotsPerPeer, 1 << 16),
            (\.requestBytes, \.requestBytesPerPeer, 21 * max(lineBytes, 1 << 20)),
            (\.unreadReplyBytes, \.unreadReplyBytesPerPeer, 96 << 20),
            (\.receiptBytes, \.receiptBytesPerPeer, 16 << 20),
            (\.eventBytes, \.eventBytesPerPeer, 32 << 20),
            (\.dirtyBytes, \.dirtyBytesPerPeer, 32 << 20),
        ]
    }
}
