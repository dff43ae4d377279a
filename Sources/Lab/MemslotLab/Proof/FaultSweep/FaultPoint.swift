package import Memslots

/// One thing that goes wrong during a submit.
package enum FaultPoint: Hashable, Sendable {
    /// Nothing goes wrong; last of all, in a world that has been through everything.
    case nothing
    /// The generation is another than expected.
    case conflict
    /// A hook refuses at a step.
    case veto(step: Int)
    /// A reader doesn't leave.
    case readerStays
    /// A vCPU doesn't leave.
    case vcpuStays
    /// A dirty log can't be read, once or from there on.
    case reading(Int, Errno, persistently: Bool)
    /// A slot call fails, once or from there on, the undo included.
    case call(Int, Errno, persistently: Bool)
    /// A slot call fails in a plan beside the guest, and a vCPU can't be stopped for the undo.
    case callUnheld(Int, Errno)
    /// A slot call fails, and dirty logs can't be read during the undo.
    case callThenReading(Int, Errno)
    /// A slot call fails, then one of the undo, from 0; the recovery fails at each of its calls.
    case undo(Int, Errno, undo: Int, Errno)

    /// The kinds, as reports count them.
    package enum Kind: String, CaseIterable, Sendable {
        case nothing = "nothing, after all of them"
        case conflict = "generation conflict"
        case veto = "hook veto"
        case readerStays = "reader that stays"
        case vcpuStays = "vCPU that stays"
        case reading = "dirty log, once"
        case readingPersistently = "dirty log, from then on"
        case call = "slot call, once"
        case callPersistently = "slot call, from then on"
        case callUnheld = "slot call, vCPU that stays in the undo"
        case callThenReading = "slot call, then dirty logs in the undo"
        case undo = "slot call, then a call of the undo"
        case recovery = "call of the recovery"
    }

    /// What reports count it as.
    package var kind: Kind {
        switch self {
        case .nothing: .nothing
        case .conflict: .conflict
        case .veto: .veto
        case .readerStays: .readerStays
        case .vcpuStays: .vcpuStays
        case .reading(_, _, let persistently): persistently ? .readingPersistently : .reading
        case .call(_, _, let persistently): persistently ? .callPersistently : .call
        case .callUnheld: .callUnheld
        case .callThenReading: .callThenReading
        case .undo: .undo
        }
    }
}
