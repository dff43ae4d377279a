import Memslots

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
