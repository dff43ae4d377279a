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

/// What a kernel may answer to each call, by the check order of `KVM_SET_USER_MEMORY_REGION2`.
///
/// The engine judges an array before it calls, so that most of these can't come of the array; they
/// come of another process (`EIO`), of a machine short of memory (`ENOMEM`), of a slot that somebody
/// else made (`EEXIST`, `EINVAL`), of a file that was closed (`EBADF`).
package enum KernelErrnos {
    private static let deviceAddress = Errno(rawValue: 6)

    /// The errnos of a slot call.
    ///
    /// Kernel: R1 `EIO`, R2 `EFAULT`, R3-R15 `EINVAL`, R16 `EEXIST` for a slot that gets a place,
    /// the allocations `ENOMEM`, R16a `EBADF` for a guest_memfd.
    package static func of(_ call: SlotCall) -> [Errno] {
        let always: [Errno] = [.ioError, .badAddress, .invalidArgument, .outOfMemory]
        switch call {
        case .create(let slot):
            return always + [.fileExists]
                + (slot.flags.contains(.guestMemfd) ? [.badFileDescriptor] : [])
        case .move: return always + [.fileExists]
        case .delete, .reflag: return always
        }
    }

    /// The errnos of `KVM_GET_DIRTY_LOG`: `EIO` as of every call, `ENXIO` with a ring in use,
    /// `EINVAL` for the id, `ENOENT` without a bitmap, `EFAULT` for the copy.
    package static let ofReading: [Errno] = [
        .ioError, deviceAddress, .invalidArgument, .noEntry, .badAddress,
    ]
}

/// A submit as it goes when nothing goes wrong: what its points are counted by.
struct CleanRun {
    let calls: [SlotCall]
    let reads: Int
    let notes: [RecordingHook.Note]
    let quiesced: Bool
    let receipt: Receipt

    /// The hook calls of one phase, in order.
    func notes(_ phase: RecordingHook.Phase) -> [RecordingHook.Note] {
        notes.filter { $0.phase == phase }
    }
}

/// Every point of one submit.
///
/// In a plan of very many calls each call still fails, once and from then on, but with one errno
/// by turns; vetoes and second faults are tried in a sample of places.
struct PointList {
    private(set) var points: [FaultPoint] = []
    /// Points that were left out, because the plan has very many calls.
    private(set) var leftOut = 0
    private let run: CleanRun
    private let isLong: Bool
    private let stride: Int

    /// - Parameter longest: a plan of more calls than this has very many.
    init(_ run: CleanRun, longest: Int) {
        self.run = run
        isLong = run.calls.count > longest
        stride = isLong ? run.calls.count / longest + 1 : 1
        points = [.conflict, .readerStays]
        if run.quiesced { points.append(.vcpuStays) }
        addVetoes()
        addReadings()
        for index in run.calls.indices {
            addFaults(of: index)
            addSecondFaults(after: index)
        }
        points.append(.nothing)
    }

    private mutating func addVetoes() {
        for step in run.notes(.prepare).indices {
            if step % stride == 0 {
                points.append(.veto(step: step))
            } else {
                leftOut += 1
            }
        }
    }

    private mutating func addReadings() {
        for read in 0..<run.reads {
            for errno in errnos(KernelErrnos.ofReading, at: read) {
                points.append(.reading(read, errno, persistently: false))
                points.append(.reading(read, errno, persistently: true))
            }
        }
    }

    private mutating func addFaults(of index: Int) {
        let call = run.calls[index]
        for errno in errnos(KernelErrnos.of(call), at: index) {
            points.append(.call(index, errno, persistently: false))
            points.append(.call(index, errno, persistently: true))
            if !run.quiesced { points.append(.callUnheld(index, errno)) }
        }
        points.append(.callThenReading(index, turn(KernelErrnos.of(call), index)))
    }

    private mutating func addSecondFaults(after index: Int) {
        let first = KernelErrnos.of(run.calls[index])
        for undo in 0..<index {
            let second = KernelErrnos.of(run.calls[index - 1 - undo].inverse)
            let isEnd = undo < 2 || undo >= index - 2 || undo == index / 2
            guard !isLong || index % stride == 0 && isEnd else {
                leftOut += second.count
                continue
            }
            for errno in errnos(second, at: undo) {
                points.append(.undo(index, turn(first, index + undo), undo: undo, errno))
            }
        }
    }

    private mutating func errnos(_ all: [Errno], at index: Int) -> [Errno] {
        guard isLong else { return all }
        leftOut += 2 * (all.count - 1)
        return [turn(all, index)]
    }

    private func turn(_ errnos: [Errno], _ index: Int) -> Errno { errnos[index % errnos.count] }
}
