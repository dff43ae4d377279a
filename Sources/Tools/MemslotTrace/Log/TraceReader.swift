import Memslots

/// Reads a log line by line into a ``SlotCallLog``: strace's, QEMU's, a syzkaller program.
///
/// It keeps only slot calls and one unfinished call per thread. A line that can't be read is
/// counted, and ends nothing.
struct TraceReader {
    var log = SlotCallLog()
    private var clock = TraceClock()
    /// The time of the line before, and how often it was later than that of a line.
    private var lineTime: TraceTime?
    private var epoch = 0
    /// The calls that strace has begun to print and not finished, at most one per thread.
    private var split: [ThreadID: SplitCall] = [:]
    private var firstThread = FirstThread()
    private var registry = MachineRegistry()
    private var vcpus = VCPURegistry()
    /// The number of `KVM_RUN` calls of each thread.
    private var runs: [ThreadID: Int] = [:]
    /// Each thread's calls since its last `KVM_RUN`, and the last one if its end is open.
    private var awaitingRun: [ThreadID: Range<Int>] = [:]
    private var openEnd: [ThreadID: Int] = [:]
    private var wrapped: WrappedLine?

    /// Reads the next line, without its end.
    mutating func consume(line raw: ArraySlice<UInt8>) {
        log.counts.lines += 1
        let number = log.counts.lines
        var bytes = raw
        while bytes.first == UInt8(ascii: ">") {
            bytes = bytes.dropFirst().drop { $0 == UInt8(ascii: " ") }
        }
        if bytes.count < raw.count { log.counts.unquotedLines += 1 }
        if let wrapped {
            if bytes.allSatisfy({ $0 == UInt8(ascii: " ") }) { return }
            self.wrapped = nil
            if case .other = StraceLine(bytes).content, wrapped.lines < WrappedLine.limit {
                let whole = wrapped.joined(bytes)
                return read(whole.bytes, number: whole.number, lines: whole.lines)
            }
            cutOff(wrapped)
        }
        read(bytes, number: number, lines: 0)
    }

    /// - Parameter lines: how many lines were joined to the first.
    private mutating func read(_ bytes: ArraySlice<UInt8>, number: Int, lines: Int) {
        let line = StraceLine(bytes)
        if line.isCoarse { log.isCoarse = true }
        let place = place(number, line)
        switch line.content {
        case .other:
            if let call = EvidenceCall.read(bytes) {
                apply(call, at: place)
            } else if bytes.firstPosition(of: "ioctl$KVM_CREATE_VM(") != nil {
                _ = registry.create(descriptor: -1, thread: .unnumbered, line: number)
            } else if bytes.firstPosition(of: "error registering slot: ") != nil {
                registeringFailed(at: place)
            }
        case .signal: break
        case .scenario(let name): log.scenario = log.scenario ?? name
        case .attached(let thread): firstThread.sawAttached(thread)
        case .condensedRuns(let thread):
            log.isCondensed = true
            entered(firstThread.canonical(thread), descriptor: nil, at: place)
            vcpus.leave(firstThread.canonical(thread))
        case .exited: ended(firstThread.canonical(line.thread))
        case .call(let body):
            let column = body.startIndex - bytes.startIndex + 1
            do throws(StraceSyntaxError) {
                let call = try StraceCall(body)
                if case .other = call {
                    let own = line.thread == firstThread.number ? nil : line.thread
                    if line.stamp != nil { closeEnd(of: own ?? .unnumbered, at: place) }
                    // It may be another program's output, or the beginning of a wrapped line.
                    guard StraceCall.isWithoutResult(body) else { break }
                    wrapped = WrappedLine(bytes, number: number, lines: lines)
                    return
                }
                let thread = firstThread.canonical(line.thread, entersGuest: call.isRun)
                closeEnd(of: thread, at: place)
                apply(call, of: thread, from: place, to: nil)
                if call.isRun {
                    ran(body, at: place)
                    vcpus.leave(thread, until: StraceCall.duration(body).flatMap(place.after))
                }
            } catch {
                guard body.dropFirst(error.offset).allSatisfy({ $0 == 0x20 || $0 == 0x2c })
                else { return malformed(number, column + error.offset, error.expected) }
                wrapped = WrappedLine(bytes, number: number, lines: lines)
                return
            }
        case .unfinished(let body) where StraceCall.matters(body):
            let isRun = (try? StraceCall(body))?.isRun ?? false
            let thread = firstThread.canonical(line.thread, entersGuest: isRun)
            closeEnd(of: thread, at: place)
            begin(body, of: thread, at: place, column: body.startIndex - bytes.startIndex + 1)
        case .unfinished: break
        case .resumed(let name, let rest):
            resume(
                name, rest, of: firstThread.canonical(line.thread), at: place,
                column: rest.startIndex - bytes.startIndex + 1)
        }
        log.counts.joinedLines += lines
    }

    /// The log, with all threads by their numbers.
    ///
    /// - Parameter isCut: whether the last line has no end.
    mutating func finish(isCut: Bool) -> SlotCallLog {
        if let wrapped {
            log.counts.endsMidCall = isCut && wrapped.hasSlotCall
            if log.counts.endsMidCall {
                log.counts.unfinishedCalls += 1
            } else {
                cutOff(wrapped)
            }
        }
        for beginning in split.values where Self.isSlotCall(beginning.body) {
            log.counts.unfinishedCalls += 1
        }
        log.machines = registry.machines
        for index in log.machines.indices {
            log.machines[index].showsEveryVCPU =
                log.machines[index].createdOnLine != nil && vcpus.areAllShown(of: index)
        }
        guard let first = firstThread.number else { return log }
        func named(_ thread: ThreadID) -> ThreadID { thread == .unnumbered ? first : thread }
        for index in log.calls.indices {
            log.calls[index].thread = named(log.calls[index].thread)
        }
        for index in log.failures.indices {
            log.failures[index].thread = named(log.failures[index].thread)
        }
        log.machines.indices.forEach {
            log.machines[$0].creator = named(log.machines[$0].creator)
        }
        log.runners = Set(log.runners.map(named))
        return log
    }

    private mutating func place(_ number: Int, _ line: StraceLine) -> Place {
        let time = line.stamp.map { TraceTime(rawValue: clock.moment(of: $0)) }
        if let time, let lineTime, time < lineTime {
            epoch += 1
            log.clockJumps = true
        }
        lineTime = time ?? lineTime
        return Place(line: number, time: time, isCoarse: line.isCoarse, epoch: epoch)
    }

    private mutating func cutOff(_ line: WrappedLine) {
        if line.hasSlotCall { log.counts.cutCalls += 1 }
    }

    private mutating func malformed(_ line: Int, _ column: Int, _ expected: String) {
        log.counts.malformedCalls += 1
        guard log.counts.faults.count < ImportReport.listedSurprises else { return }
        log.counts.faults.append(TraceFault(line: line, column: column, expected: expected))
    }
}

/// A call whose text ends before its result, as a mail program or a terminal wraps it.
private struct WrappedLine {
    var bytes: ArraySlice<UInt8>
    var number: Int
    var lines: Int

    /// The most lines that are joined to one call.
    static let limit = 12

    init(_ bytes: ArraySlice<UInt8>, number: Int, lines: Int) {
        // A copy: a slice would retain the whole chunk.
        self.bytes = Array(bytes)[...]
        self.number = number
        self.lines = lines
    }

    /// The line with the next one, which may begin with spaces.
    func joined(_ next: ArraySlice<UInt8>) -> WrappedLine {
        let rest = next.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        // A line is wrapped at a space, which is printed on either side or not at all; a terminal
        // wraps within a word.
        let end = bytes.suffix(2).text
        let isAtSpace = end.hasSuffix(",") || end == " =" || end == ")=" || end == "-1"
        let space: [UInt8] = isAtSpace ? [0x20] : []
        return WrappedLine(bytes + space + rest, number: number, lines: lines + 1)
    }

    var hasSlotCall: Bool { StraceLine.holdsSlotCall(bytes) }
}

/// The beginning of a call that strace has not finished to print, and its place.
private struct SplitCall {
    var body: ArraySlice<UInt8>
    var place: Place
    var column: Int
    /// The vCPUs at this place, for a slot call.
    var presence: GuestPresence?
}

private struct Place {
    var line: Int
    var time: TraceTime?
    var isCoarse: Bool
    var epoch: Int

    /// The moment of this line; a time of whole seconds is up to a second early.
    var moment: Moment {
        Moment(
            earliest: time, latest: isCoarse ? after(1_000_000_000) : time, epoch: epoch)
    }

    func after(_ nanoseconds: UInt64) -> TraceTime? {
        time.map { TraceTime(rawValue: $0.rawValue &+ nanoseconds) }
    }
}

extension TraceReader {
    private mutating func begin(
        _ body: ArraySlice<UInt8>, of thread: ThreadID, at place: Place, column: Int
    ) {
        // A KVM_RUN counts from its beginning.
        if let call = try? StraceCall(body), case .run(let descriptor) = call {
            entered(thread, descriptor: descriptor, at: place)
        }
        // A copy: a slice would retain the whole chunk.
        let lost = split.updateValue(
            SplitCall(
                body: Array(body)[...], place: place, column: column,
                presence: presence(body, thread)),
            forKey: thread)
        if let lost, Self.isSlotCall(lost.body) { log.counts.unfinishedCalls += 1 }
    }

    /// The vCPUs at the beginning of a slot call that strace splits.
    private mutating func presence(
        _ body: ArraySlice<UInt8>, _ thread: ThreadID
    ) -> GuestPresence? {
        var scanner = ByteScanner(body)
        guard Self.isSlotCall(body), scanner.skip("ioctl("), let number = scanner.number(),
            let descriptor = Int32(exactly: number),
            let machine = registry.machine(descriptor: descriptor, thread: thread)
        else { return nil }
        return vcpus.presence(of: machine)
    }

    private mutating func resume(
        _ name: ArraySlice<UInt8>, _ rest: ArraySlice<UInt8>, of thread: ThreadID,
        at place: Place, column: Int
    ) {
        guard let beginning = split.removeValue(forKey: thread),
            beginning.body.starts(with: name)
        else { return }
        let length = beginning.body.count
        do throws(StraceSyntaxError) {
            let call = try StraceCall(beginning.body + rest)
            if call.isRun {
                ran(rest, at: place)
                vcpus.leave(thread)
            } else {
                apply(call, of: thread, from: beginning.place, to: place, beginning.presence)
            }
        } catch {
            let isFirst = error.offset < length
            malformed(
                isFirst ? beginning.place.line : place.line,
                isFirst ? beginning.column + error.offset : column + error.offset - length,
                error.expected)
        }
    }

    /// - Parameters:
    ///   - from: the line on which the call begins.
    ///   - to: the line on which strace resumed it; `nil` for a call on one line.
    ///   - presence: the vCPUs at its beginning, if it was resumed.
    private mutating func apply(
        _ call: StraceCall, of thread: ThreadID, from: Place, to: Place?,
        _ presence: GuestPresence? = nil
    ) {
        switch call {
        case .other: break
        case .createdVM(let descriptor):
            _ = registry.create(
                descriptor: descriptor, thread: thread, line: (to ?? from).line)
            log.counts.kinds[.strace, default: 0] += 1
        case .createdVCPU(let vm, let descriptor):
            guard let machine = registry.machine(descriptor: vm, thread: thread) else { break }
            vcpus.create(descriptor: descriptor, thread: thread, machine: machine)
        case .run(let descriptor):
            entered(thread, descriptor: descriptor, at: from)
        case .cloned(let child, let sharesProcess):
            firstThread.sawAttached(child)
            registry.clone(parent: thread, child: child, sharesProcess: sharesProcess)
        case .duplicated(let descriptor, let copy):
            registry.duplicate(descriptor: descriptor, copy: copy, thread: thread)
        case .closed(let descriptor):
            registry.close(descriptor: descriptor, thread: thread)
        case .changedMemory(let name, let range):
            if log.memoryChanges.count == MemoryChange.limit { log.memoryChanges.removeFirst() }
            log.memoryChanges.append(MemoryChange(line: from.line, call: name, range: range))
        case .slot(let call):
            log.counts.kinds[.strace, default: 0] += 1
            var end = (to ?? Place(line: from.line, isCoarse: false, epoch: epoch)).moment
            if let length = call.nanoseconds {
                end = from.moment.advanced(by: length)
            } else if to == nil {
                end = Moment(earliest: from.time, epoch: from.epoch)
            }
            let machine = registry.machine(descriptor: call.descriptor, thread: thread)
            apply(
                call.answer, call.region, of: thread, at: to ?? from,
                on: machine
                    ?? registry.create(descriptor: call.descriptor, thread: thread, line: nil),
                from: from.moment, to: end, presence)
            if to == nil, call.nanoseconds == nil, case .succeeded = call.answer {
                openEnd[thread] = log.calls.indices.last
            }
        }
    }

    /// Applies a call of a text that is no strace log.
    private mutating func apply(_ call: EvidenceCall, at place: Place) {
        log.counts.kinds[call.kind, default: 0] += 1
        let thread = call.process ?? .unnumbered
        var place = place
        let before = lineTime
        if let time = call.time {
            var line = StraceLine([])
            line.stamp = .unix(time)
            place = self.place(place.line, line)
        }
        let machine =
            registry.machine(descriptor: -1, thread: thread)
            ?? registry.create(descriptor: -1, thread: thread, line: nil)
        let answer: StraceSlotCall.Answer =
            if case .failed(let errno) = call.result { .failed(errno) } else { .succeeded }
        // The text is written after the call; it began after the one before.
        apply(
            answer, call.region, hasUserAddress: call.hasUserAddress, of: thread, at: place,
            on: machine,
            from: Moment(earliest: before ?? place.time, latest: place.time, epoch: epoch),
            to: place.moment)
    }

    /// QEMU's second line about a failed call, which has no words.
    private mutating func registeringFailed(at place: Place) {
        log.counts.kinds[.qemuError, default: 0] += 1
        guard log.failures.last.map({ $0.line < place.line - 1 }) ?? true else { return }
        let machine =
            registry.machine(descriptor: -1, thread: .unnumbered)
            ?? registry.create(descriptor: -1, thread: .unnumbered, line: nil)
        apply(
            .failed("an error"), nil, of: .unnumbered, at: place, on: machine,
            from: place.moment, to: place.moment)
    }

    private mutating func apply(
        _ answer: StraceSlotCall.Answer, _ region: RawRegion?, hasUserAddress: Bool = true,
        of thread: ThreadID, at place: Place, on machine: Int, from: Moment, to: Moment,
        _ presence: GuestPresence? = nil
    ) {
        switch answer {
        case .failed(let errno):
            // A real VMM has few of them; a forged log must not fill memory.
            let isKnown = log.counts.failedCalls[errno] != nil || log.counts.failedCalls.count < 64
            log.counts.failedCalls[isKnown ? errno : "other", default: 0] += 1
            guard log.failures.count < FailedCall.limit else { break }
            log.failures.append(
                FailedCall(
                    line: place.line, thread: thread, machine: machine, region: region,
                    hasUserAddress: hasUserAddress, errno: errno))
        case .none:
            log.counts.unfinishedCalls += 1
        case .succeeded:
            guard log.calls.count < SlotCallLog.limit else {
                log.counts.excessCalls += 1
                break
            }
            log.counts.slotCalls += 1
            if region == nil {
                log.counts.undecodedCalls += 1
                if log.counts.undecodedLines.count < 4 {
                    log.counts.undecodedLines.append(place.line)
                }
            }
            let now = vcpus.presence(of: machine)
            let index = log.calls.count
            log.calls.append(
                RecordedCall(
                    line: place.line, thread: thread, time: place.time, machine: machine,
                    region: region, begin: from, end: to, runsBefore: runs[thread] ?? 0,
                    atBegin: presence ?? now, atEnd: now))
            awaitingRun[thread] = (awaitingRun[thread]?.lowerBound ?? index)..<index + 1
        }
    }

    private mutating func entered(_ thread: ThreadID, descriptor: Int32?, at place: Place) {
        log.counts.runs += 1
        log.counts.kinds[.strace, default: 0] += 1
        runs[thread, default: 0] += 1
        _ = vcpus.enter(thread, descriptor: descriptor)
        log.runners.insert(thread)
        for index in awaitingRun.removeValue(forKey: thread) ?? 0..<0
        where log.calls[index].thread == thread {
            log.calls[index].nextRun = place.line
        }
    }

    private mutating func ran(_ text: ArraySlice<UInt8>, at place: Place) {
        guard StraceCall.faulted(text), log.runFaults.count < FailedCall.limit else { return }
        log.runFaults.append(place.line)
    }

    /// A call on one line without its duration has ended where the thread's next line begins.
    private mutating func closeEnd(of thread: ThreadID, at place: Place) {
        guard let index = openEnd.removeValue(forKey: thread),
            log.calls[index].end.epoch == place.epoch
        else { return }
        log.calls[index].end.latest = place.moment.latest
    }

    private mutating func ended(_ thread: ThreadID) {
        vcpus.leave(thread)
        if let beginning = split.removeValue(forKey: thread), Self.isSlotCall(beginning.body) {
            log.counts.unfinishedCalls += 1
        }
    }

    private static func isSlotCall(_ body: ArraySlice<UInt8>) -> Bool {
        var scanner = ByteScanner(body)
        guard scanner.skip("ioctl("), scanner.skip(past: ", "),
            let request = KVMRequest.read(&scanner)
        else { return false }
        return request == .setUserMemoryRegion || request == .setUserMemoryRegion2
    }
}
