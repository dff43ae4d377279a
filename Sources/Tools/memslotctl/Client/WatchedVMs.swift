import MemslotPicture
import MemslotProtocol

/// VMs as their events tell them: a snapshot, and the changes since.
struct WatchedVMs {
    /// What an event did.
    struct Change {
        /// Whose map is another now; `nil` where none is.
        let vm: String?
        let sentence: String
    }

    private struct VM {
        var generation: UInt64 = 0
        /// JSON of each slot by the slot's name on the wire.
        var slots: [String: JSONValue] = [:]

        init(_ value: JSONValue) {
            generation = value["generation"]?.uint64 ?? 0
            set(value["slots"])
        }

        mutating func set(_ list: JSONValue?) {
            slots = [:]
            put(list)
        }

        mutating func put(_ list: JSONValue?) {
            guard let list else { return }
            for slot in list.elements { slots[WireSlot.name(of: slot)] = slot }
        }
    }

    private var vms: [String: VM] = [:]

    init() {}

    /// The VMs of a subscription's answer.
    init(snapshot: JSONValue) {
        guard let list = snapshot["vms"] else { return }
        for vm in list.elements { vms[vm["vm"]?.string ?? ""] = VM(vm) }
    }

    /// The names, in order.
    var names: [String] { vms.keys.sorted() }

    /// The map of a VM under its name; nothing of one that is gone.
    func lines(of name: String) -> [String] {
        guard let vm = vms[name] else { return [] }
        let heading = "\(name), generation \(vm.generation)"
        if vm.slots.isEmpty { return [heading, "no slots", ""] }
        let list = vm.slots.values.map(\.rawText).joined(separator: ",")
        guard let slots = try? JSONDocument(parsing: "[\(list)]").root else { return [heading] }
        return [heading] + PicturedArray(answer: slots).map.lines(Terminal.textOptions) + [""]
    }

    /// Follows an event.
    ///
    /// - Returns: what changed; `nil` for an event that there is nothing to say of.
    mutating func apply(_ event: JSONValue) -> Change? {
        guard let params = event["params"] else { return nil }
        if event["method"]?.isString("run.ended") ?? false {
            return Change(vm: nil, sentence: RunEventText.end(params))
        }
        guard let vm = params["vm"]?.string else { return nil }
        let errno = params["errno"]?.string ?? "an error"
        switch event["method"]?.string {
        case "memslots.committed":
            commit(params, to: vm)
            let count = params["operationCount"]?.int ?? 0
            let blackout = HumanDuration(
                nanoseconds: params["nanoseconds"]?["blackout"]?.uint64 ?? 0)
            let held =
                params["quiesced"]?.bool == true
                ? "vCPUs held out for \(blackout)" : "the guest ran on"
            let change = ReplayRow.words(for: params["diff"])
            return Change(vm: vm, sentence: "\(vm): \(change); kernel calls: \(count), \(held)")
        case "memslots.rolledBack":
            return Change(vm: vm, sentence: "\(vm): a transaction was undone after \(errno)")
        case "memslots.failed":
            vms[vm]?.set(params["slots"])
            return Change(
                vm: vm,
                sentence: "\(vm) has failed (\(errno), and the undo too); shown is what is "
                    + "installed. Try: memslotctl recover \(vm)")
        case "vm.created":
            vms[vm] = VM(params)
            return Change(vm: vm, sentence: "\(vm) was made")
        case "vm.destroyed":
            vms[vm] = nil
            return Change(vm: vm, sentence: "\(vm) is gone")
        case "run.transaction":
            return Change(vm: nil, sentence: "\(vm): \(RunEventText.transaction(params))")
        default: return nil
        }
    }

    private mutating func commit(_ receipt: JSONValue, to vm: String) {
        guard let removed = receipt["diff"]?["removed"] else { return }
        for slot in removed.elements { vms[vm]?.slots[ReplayRow.name(slot)] = nil }
        vms[vm]?.put(receipt["changed"])
        vms[vm]?.generation = receipt["generation"]?.uint64 ?? 0
    }
}
