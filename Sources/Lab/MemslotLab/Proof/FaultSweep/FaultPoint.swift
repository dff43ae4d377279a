package import Memslots

package enum FaultPoint: Hashable, Sendable {
    /// No fault. Visited last, in a world that has had all others.
    case nothing
    case conflict
    case veto(step: Int)
    case readerStays
    case vcpuStays
    case reading(Int, Errno, persistently: Bool)
    /// An operation fails, once or from then on, the undo included.
    case call(Int, Errno, persistently: Bool)
    /// An operation fails in a plan beside the guest, and a vCPU does not leave for the undo.
    case callUnheld(Int, Errno)
    case callHeldAgain(Int, Errno)
    case callThenReading(Int, Errno)
    /// An operation fails, then one of the undo; the recovery fails at each of its operations.
    case undo(Int, Errno, undo: Int, Errno)
    /// A change of attributes fails, and then perhaps a call of the undo.
    case attribute(Int, Errno, undo: Int?)
    case backEnd(BackEndFault, message: Int, rollsBack: Bool)

    package enum Kind: String, CaseIterable, Sendable {
        case nothing = "no fault, after all others"
        case conflict = "generation conflict"
        case veto = "hook veto"
        case readerStays = "reader that does not leave"
        case vcpuStays = "vCPU that does not leave"
        case reading = "dirty log, once"
        case readingPersistently = "dirty log, from then on"
        case call = "operation, once"
        case callPersistently = "operation, from then on"
        case callUnheld = "operation, vCPU that does not leave for the undo"
        case callHeldAgain = "operation beside a hold, vCPU that does not leave for the undo"
        case callThenReading = "operation, then dirty logs in the undo"
        case undo = "operation, then an operation of the undo"
        case attribute = "memory attribute, and a call of the undo"
        case recovery = "operation of the recovery"
        case backEnd = "vhost-user back end, at a message"
    }

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
        case .callHeldAgain: .callHeldAgain
        case .callThenReading: .callThenReading
        case .undo: .undo
        case .attribute: .attribute
        case .backEnd: .backEnd
        }
    }
}

/// The errnos that a kernel may return, by the check order of `KVM_SET_USER_MEMORY_REGION2`. The
/// engine validates an array first, so that the array causes few of these. Other causes are another
/// process (`EIO`), a machine short of memory (`ENOMEM`), a slot that another component created
/// (`EEXIST`, `EINVAL`) and a closed file (`EBADF`).
enum KernelErrnos {
    /// Kernel: R1 `EIO`, R2 `EFAULT`, R3-R15 `EINVAL`, R16 `EEXIST` for a created or moved slot,
    /// `ENOMEM` of allocations, R16a `EBADF` for a guest_memfd.
    static func of(_ call: SlotCall) -> [Errno] {
        let always: [Errno] = [.ioError, .badAddress, .invalidArgument, .outOfMemory]
        switch call {
        case .create(let slot):
            return always + [.fileExists]
                + (slot.flags.contains(.guestMemfd) ? [.badFileDescriptor] : [])
        case .move: return always + [.fileExists]
        case .delete, .reflag: return always
        }
    }

    /// The errnos of `KVM_SET_MEMORY_ATTRIBUTES`, whose storage is reserved first.
    static let ofAttribute: [Errno] = [.ioError, .badAddress, .invalidArgument, .outOfMemory]

    /// The errnos of `KVM_GET_DIRTY_LOG`: `EIO` as for every call, `ENXIO` if a ring is in use,
    /// `EINVAL` for the id, `ENOENT` without a bitmap, `EFAULT` for the copy.
    static let ofReading: [Errno] = [
        .ioError, Errno(rawValue: 6), .invalidArgument, .noEntry, .badAddress,
    ]
}

/// The course of a submit without faults.
struct CleanRun {
    let calls: [SlotCall]
    let reads: Int
    /// The preparations of hooks, in order.
    let preparations: [RecordingHook.Call]
    let quiesced: Bool
    let receipt: Receipt
    /// Operations before the hold, and the first after it. As the guest could run, not as planned.
    let head, tail: Int
    /// The messages to a back end that prepare the transaction, and all.
    let prepared, messages: Int
}

/// All points of one submit. In a long plan each operation still fails, once and from then on, but
/// with one errno; vetoes and second faults are sampled.
struct PointList {
    private(set) var points: [FaultPoint] = []
    private(set) var omitted = 0
    private let run: CleanRun
    private let isLong: Bool
    private let stride: Int

    /// - Parameter longest: a plan with more operations than this is long.
    init(_ run: CleanRun, longest: Int) {
        self.run = run
        isLong = run.calls.count > longest
        stride = isLong ? run.calls.count / longest + 1 : 1
        points = [.conflict, .readerStays]
        if run.quiesced { points.append(.vcpuStays) }
        addVetoes()
        addReadings()
        addBackEnd()
        for index in run.calls.indices {
            addFaults(of: index)
            addSecondFaults(after: index)
        }
        for index in run.receipt.attributes.indices {
            for errno in KernelErrnos.ofAttribute {
                points.append(.attribute(index, errno, undo: nil))
                points += (0...index).map { .attribute(index, errno, undo: $0) }
            }
        }
        points.append(.nothing)
    }

    private mutating func addVetoes() {
        let all = run.preparations.indices
        let visited = all.filter { $0 % stride == 0 }
        points += visited.map { .veto(step: $0) }
        omitted += all.count - visited.count
    }

    private mutating func addBackEnd() {
        let visited = Swift.stride(from: 0, to: run.messages, by: stride)
        omitted += run.messages - visited.underestimatedCount
        for message in visited {
            for kind in BackEndFault.allCases {
                // It takes the whole deadline.
                if kind == .isSilent, message >= min(run.prepared, 1) { continue }
                points.append(.backEnd(kind, message: message, rollsBack: false))
            }
        }
        for kind in [BackEndFault.refuses, .dies, .lies] where run.messages > 0 {
            points.append(.backEnd(kind, message: run.prepared, rollsBack: true))
        }
    }

    private mutating func addReadings() {
        for read in 0..<run.reads {
            for errno in errnos(KernelErrnos.ofReading, at: read) {
                points += [false, true].map { .reading(read, errno, persistently: $0) }
            }
        }
    }

    private mutating func addFaults(of index: Int) {
        let call = run.calls[index]
        for errno in errnos(KernelErrnos.of(call), at: index) {
            points += [false, true].map { .call(index, errno, persistently: $0) }
            if !run.quiesced { points.append(.callUnheld(index, errno)) }
        }
        if index < run.head || index >= run.tail {
            points.append(.callHeldAgain(index, turn(KernelErrnos.of(call), index)))
        }
        points.append(.callThenReading(index, turn(KernelErrnos.of(call), index)))
    }

    private mutating func addSecondFaults(after index: Int) {
        let first = KernelErrnos.of(run.calls[index])
        for undo in 0..<index {
            let second = KernelErrnos.of(run.calls[index - 1 - undo].inverse)
            let isEnd = undo < 2 || undo >= index - 2 || undo == index / 2
            guard !isLong || index % stride == 0 && isEnd else {
                omitted += second.count
                continue
            }
            for errno in errnos(second, at: undo) {
                points.append(.undo(index, turn(first, index + undo), undo: undo, errno))
            }
        }
    }

    private mutating func errnos(_ all: [Errno], at index: Int) -> [Errno] {
        guard isLong else { return all }
        omitted += 2 * (all.count - 1)
        return [turn(all, index)]
    }

    private func turn(_ errnos: [Errno], _ index: Int) -> Errno { errnos[index % errnos.count] }
}
