internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// The files of a state directory when a server starts.
struct StateInventory {
    /// The numbers of the VMs that have a record.
    private(set) var records: Set<UInt64> = []
    private var damaged: Set<UInt64> = []
    private var leftovers: [String] = []
    private var memories: [(vm: UInt64, name: String)] = []
    private var names: Set<String> = []
    /// The memory that a record names.
    private var claimed: Set<String> = []

    init(of state: StateStore) throws(StateError) {
        let all: [String]
        do throws(Errno) { all = try state.directory.names() } catch {
            throw StateError("\(state.path): can't be read: \(error)")
        }
        names = Set(all)
        for name in all.sorted() {
            guard let (vm, kind) = StateNames.parse(name) else { continue }
            state.skip(vm)
            switch kind {
            case .record: records.insert(vm)
            case .leftover: leftovers.append(name)
            case .memory: memories.append((vm, name))
            case .damaged:
                damaged.insert(vm)
                let reason: String
                do throws(DamagedRecord) {
                    _ = try VMRecord(state.directory.record(name), number: vm)
                    reason = "set aside at an earlier start; its text is valid"
                } catch { reason = "set aside at an earlier start: \(error.reason)" }
                state.report(damaged: name, setAside: name, reason)
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
        damaged.insert(number)
        state.report(
            damaged: name, setAside: try? state.directory.setAside(name, of: number, names), reason)
    }

    /// Removes what the server before this one had not finished, and memory that no record names.
    mutating func removeUnused(in state: StateStore) {
        // Memory of a VM whose record is damaged stays: a person may need it.
        for (vm, name) in memories where !claimed.contains(name) && !damaged.contains(vm) {
            leftovers.append(name)
        }
        for name in leftovers where state.remove(name) { state.notify(.unfinished(file: name)) }
        guard let descriptors = state.descriptors else { return }
        for name in descriptors.unclaimed {
            guard let (vm, _) = StateNames.parse(name), !claimed.contains(name),
                !damaged.contains(vm)
            else { continue }
            descriptors.remove(name)
            state.notify(.unfinished(file: name))
        }
    }
}
