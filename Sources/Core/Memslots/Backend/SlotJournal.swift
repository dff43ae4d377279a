/// Which slots are installed, call by call.
struct SlotJournal {
    private let initial: [Memslot]
    private var calls: [SlotCall] = []

    /// Begins with `slots` installed.
    init(_ slots: [Memslot]) { initial = slots }

    /// Records a call that succeeded.
    mutating func record(_ call: SlotCall) { calls.append(call) }

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
    /// Empties the new log of `call`, which undoes another or recovers, if the kernel began it full.
    ///
    /// The table keeps its true bits. If the log can't be emptied it reports too many pages, which
    /// loses nothing.
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
