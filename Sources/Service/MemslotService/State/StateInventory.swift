internal import Memslots

/// The files of a state directory when a server starts.
struct StateInventory {
    /// The numbers of the VMs that have a record.
    private(set) var records: Set<UInt64> = []
    /// The VMs that were being destroyed.
    private var removed: Set<UInt64> = []
    /// The VMs of which a record is set aside, which may name memory that no other names.
    private var damaged: Set<UInt64> = []
    private var leftovers: [String] = []
    private var memories: [(vm: UInt64, name: String)] = []
    private var names: Set<String> = []
    /// The memory that a record names.
    private var claimed: Set<String> = []

    init(of state: StateStore) throws(StateError) {
        let all = try converting(
            { (error: Errno) in StateError("\(state.path): can't be read: \(error)") },
            state.directory.names())
        names = Set(all)
        for name in all.sorted() {
            guard let (vm, kind) = StateNames.parse(name) else { continue }
            state.skip(vm)
            switch kind {
            case .record: records.insert(vm)
            case .leftover: leftovers.append(name)
            case .removed:
                removed.insert(vm)
                leftovers.append(name)
            case .memory: memories.append((vm, name))
            case .damaged:
                damaged.insert(vm)
                let reason: String
                do throws(DamagedRecord) {
                    _ = try VMRecord(state.directory.record(name), number: vm)
                    reason = "set aside at an earlier start; its text is valid"
                } catch { reason = "set aside at an earlier start: \(error.reason)" }
                state.report(damaged: name, setAside: name, of: vm, reason)
            }
        }
    }

    /// Marks the memory that `record` names as used, even if its VM could not be restored.
    mutating func claim(_ record: VMRecord) {
        for memory in record.memories {
            claimed.insert(StateNames.memory(memory.id.rawValue, of: record.number))
        }
    }

    /// Renames a damaged record, so that it is not lost, and not read again.
    mutating func setAside(
        _ name: String, of number: UInt64, _ reason: String, in state: StateStore
    ) {
        records.remove(number)
        damaged.insert(number)
        state.report(
            damaged: name, setAside: try? state.directory.setAside(name, of: number, names),
            of: number, reason)
    }

    /// Removes what the server before this one had not finished, and memory that a VM's record does
    /// not name.
    mutating func removeUnused(in state: StateStore) {
        for (vm, name) in memories where isUnfinished(name, of: vm, in: state) {
            if state.remove(name) { state.notify(.unfinished(file: name)) }
        }
        for name in state.descriptors?.unclaimed ?? [] {
            guard let (vm, _) = StateNames.parse(name) else { continue }
            // No other VM may get the number of memory that stays.
            state.skip(vm)
            guard isUnfinished(name, of: vm, in: state) else { continue }
            state.descriptors?.remove(name)
            state.notify(.unfinished(file: name))
        }
        // Last: the mark of a VM that was being destroyed shows that its memory may be removed.
        for name in leftovers where state.remove(name) { state.notify(.unfinished(file: name)) }
    }

    /// Returns whether a request for memory was cut, or its VM's end.
    ///
    /// Memory of a VM whose record is damaged or missing stays, and is reported: a person may need
    /// it.
    private func isUnfinished(_ name: String, of vm: UInt64, in state: StateStore) -> Bool {
        if claimed.contains(name) { return false }
        if removed.contains(vm) || records.contains(vm) && !damaged.contains(vm) { return true }
        state.notify(.orphan(file: name, record: StateNames.record(vm)))
        return false
    }
}
