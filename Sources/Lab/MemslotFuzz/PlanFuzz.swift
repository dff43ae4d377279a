import MemslotSimulator
import Memslots

/// Arrays, validated, compared, planned and carried out on the simulator.
///
/// The input edits a draft array and submits it, again and again; see ``PlanStep``. Every plan
/// must be legal, each call a thing that the kernel takes as what the plan says it is, and must
/// end at the array that was asked for; whatever fails must leave everything as it was.
enum PlanFuzz {
    /// More in one input only costs time. A submit that leaves ids out may search for some tenths
    /// of a second.
    private static let mostSlots = 48
    private static let mostSubmits = 6

    static func run(_ bytes: [UInt8]) -> String? {
        var choices = FuzzBytes(bytes)
        guard let vm = PlannedVM(choices.byte(), choices.byte()) else { return nil }
        var draft: [Memslot] = []
        var submits = 0
        while !choices.isAtEnd && submits < mostSubmits {
            switch PlanStep(&choices) {
            case .put(let slot):
                if draft.count < mostSlots { draft.append(slot) }
            case .drop(let index):
                if !draft.isEmpty { draft.remove(at: index % draft.count) }
            case .replace(let index, let slot):
                if !draft.isEmpty { draft[index % draft.count] = slot }
            case .move(let index, let address):
                if !draft.isEmpty { draft[index % draft.count].guestPhysicalAddress = address }
            case .toggleLog(let index):
                if !draft.isEmpty {
                    draft[index % draft.count].flags.formSymmetricDifference(.logDirtyPages)
                }
            case .touch(let address, let space):
                try? vm.backend.simulated.touch(address, size: .pages(1), in: space)
            case .fault(let operation, let times):
                vm.backend.simulated.inject(
                    FaultInjection(operation: operation, errno: PlannedVM.fault, times: times))
            case .submit:
                submits += 1
                if let broken = vm.submit(draft) { return broken }
            }
        }
        return vm.submit(draft)
    }
}
