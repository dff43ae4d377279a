/// Which slots are installed, call by call.
struct SlotJournal {
    private let initial: [Memslot]
    private var calls: [SlotCall] = []

    /// Begins with `slots` installed.
    init(_ slots: [Memslot]) { initial = slots }

    /// Notes a call that succeeded.
    mutating func note(_ call: SlotCall) { calls.append(call) }

    /// The slots that are installed now, ascending by key.
    var slots: [Memslot] {
        var slots = Dictionary(uniqueKeysWithValues: initial.map { ($0.assignedKey, $0) })
        for call in calls { slots[call.key] = call.after }
        return slots.values.sorted { $0.assignedKey < $1.assignedKey }
    }

    /// The calls by which a log began of a slot that is installed now as it was then.
    var callsThatBeganLogs: [SlotCall] {
        let installed = Set(slots)
        return calls.filter { call in
            guard let slot = call.after, slot.isLogging else { return false }
            return call.before?.isLogging != true && installed.contains(slot)
        }
    }
}

extension MemslotBackend {
    /// After a call that was taken back: empties a log that the kernel began full.
    ///
    /// Its true bits are kept by the table. If the log can't be emptied it tells too many pages,
    /// which loses nothing.
    func emptyNewLog(of call: SlotCall) {
        guard capabilities.dirtyLogStartsFull, let slot = call.after, slot.isLogging,
            call.before?.isLogging != true
        else { return }
        do throws(Errno) {
            _ = try readDirtyLog(of: slot, clear: true)
        } catch {
            return
        }
    }
}
