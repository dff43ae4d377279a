import Memslots

/// A kernel of the tests' own: slots by its rules, a dirty bitmap for each slot that logs, kept and
/// dropped as the kernel does, and a list of calls that are to fail.
final class ModelBackend: MemoryAttributeBackend {
    struct State {
        var kernel: KernelModel
        var logs: [SlotKey: Set<UInt64>] = [:]
        var calls: [SlotCall] = []
        var privatePages: Set<UInt64> = []
        var attributeCalls = 0
        var illegal: [String] = []
        var callsThisTransaction = 0
        var logReads = 0
        /// Slot calls of a transaction that fail, counted from 0 and on through the undo.
        var refusals: [Int: Errno] = [:]
        var logRefusal: Errno?
        /// How many logs can be read before one can't.
        var logReadsUntilRefusal: Int?
        /// Run before each slot call with the lock given up; for what the guest does meanwhile.
        var beforeCall: (@Sendable (Int) -> Void)?
    }

    let capabilities: Capabilities
    /// Whether a read that is not asked to clear leaves the bits, as manual protection does.
    let keepsBitsWhenRead: Bool
    let state: Locked<State>

    init(
        _ installed: [Memslot] = [], capabilities: Capabilities = wideCapabilities,
        keepsBitsWhenRead: Bool = false
    ) {
        self.capabilities = capabilities
        self.keepsBitsWhenRead = keepsBitsWhenRead
        var state = State(kernel: KernelModel(installed))
        for slot in installed where slot.isLogging { state.logs[slot.assignedKey] = [] }
        self.state = Locked(state)
    }

    var slots: [Memslot] { state.withLock { $0.kernel.array } }
    var calls: [SlotCall] { state.withLock { $0.calls } }
    var illegal: [String] { state.withLock { $0.illegal } }

    func refuse(at indices: Int..., with errno: Errno = .outOfMemory) {
        state.withLock { state in
            state.refusals = Dictionary(uniqueKeysWithValues: indices.map { ($0, errno) })
        }
    }

    /// The guest writes `pages` of a slot.
    func write(_ pages: [UInt64], to key: SlotKey) {
        state.withLock { $0.logs[key]?.formUnion(pages) }
    }

    func beginTransaction() { state.withLock { $0.callsThisTransaction = 0 } }

    private func nextCall() -> Int {
        let (index, before) = state.withLock { state in
            defer { state.callsThisTransaction += 1 }
            return (state.callsThisTransaction, state.beforeCall)
        }
        before?(index)
        return index
    }

    func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        let index = nextCall()
        let refusal = state.withLock { state -> Errno? in
            if let errno = state.refusals[index] { return errno }
            state.attributeCalls += 1
            let pages = range.address.pageNumber..<range.address.pageNumber + range.size.pageCount
            if isPrivate {
                state.privatePages.formUnion(pages)
            } else {
                state.privatePages.subtract(pages)
            }
            return nil
        }
        if let refusal { throw refusal }
    }

    func apply(_ call: SlotCall) throws(Errno) {
        let index = nextCall()
        let refusal = state.withLock { state -> Errno? in
            if let errno = state.refusals[index] { return errno }
            if let why = state.kernel.apply(call) {
                state.illegal.append("\(call): \(why)")
                return .invalidArgument
            }
            state.calls.append(call)
            let wasLogging = call.before?.isLogging ?? false
            guard let slot = call.after, slot.isLogging else {
                state.logs[call.key] = nil
                return nil
            }
            if !wasLogging {
                state.logs[call.key] =
                    capabilities.dirtyLogStartsFull ? Set(0..<slot.pageCount) : []
            }
            return nil
        }
        if let refusal { throw refusal }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let result = state.withLock { state -> Result<Set<UInt64>, Errno> in
            if let errno = state.logRefusal { return .failure(errno) }
            if let left = state.logReadsUntilRefusal {
                if left == 0 { return .failure(.ioError) }
                state.logReadsUntilRefusal = left - 1
            }
            guard state.kernel.slots[slot.assignedKey] == slot,
                let bits = state.logs[slot.assignedKey]
            else {
                return .failure(.noEntry)
            }
            state.logReads += 1
            if clear || !keepsBitsWhenRead { state.logs[slot.assignedKey] = [] }
            return .success(bits)
        }
        var bitmap = DirtyBitmap(pageCount: slot.pageCount)
        for page in try result.get() { bitmap.insert(page..<page + 1) }
        return bitmap
    }

    func collectDirtyPages() {}
}

extension MemslotTable {
    /// Submits `slots`, and returns the error; `nil` if there is none.
    func refusal(of slots: [Memslot], options: SubmitOptions = SubmitOptions()) -> SubmitError? {
        do throws(SubmitError) {
            try submit(slots, options: options)
            return nil
        } catch {
            return error
        }
    }

    /// Every slot that logs with its dirty pages, which stay as they are.
    func dirtyPages() throws -> [SlotKey: [UInt64]] {
        var pages: [SlotKey: [UInt64]] = [:]
        for slot in snapshot().array.slots where slot.isLogging {
            pages[slot.assignedKey] = try dirtyLog(of: slot).bitmap.runs.flatMap { Array($0) }
        }
        return pages
    }
}
