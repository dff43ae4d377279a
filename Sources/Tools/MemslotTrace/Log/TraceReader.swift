import Memslots

/// Reads a log line by line into a ``SlotCallLog``: strace's, QEMU's, a syzkaller program.
///
/// It keeps only slot calls and one unfinished call per thread, and counts unreadable lines.
struct TraceReader {
    var log = SlotCallLog()
    var clock = TraceClock()
    /// The time of the line before, and how often it was later than that of a line.
    var lineTime: TraceTime?
    var epoch = 0
    /// The calls that strace has begun to print and not finished, at most one per thread.
    var split: [ThreadID: SplitCall] = [:]
    var firstThread = FirstThread()
    var registry = MachineRegistry()
    var vcpus = VCPURegistry()
    var runs: [ThreadID: Int] = [:]
    /// Each thread's calls since its last `KVM_RUN`, and the last one if its end is open.
    var awaitingRun: [ThreadID: Range<Int>] = [:]
    var openEnd: [ThreadID: Int] = [:]
    var wrapped: WrappedLine?
    /// Whether a line has a thread's number, and how many threads were started while none had.
    var hasThreadNumbers = false
    /// Whether the log was merged from those of threads, and whether a `KVM_RUN` in it has no end.
    var isMerged = false
    var hasOpenRuns = false
    var startedThreads = 0

    mutating func consume(line raw: ArraySlice<UInt8>) {
        log.counts[.lines] += 1
        let number = log.counts[.lines]
        var bytes = raw.cleaned
        while bytes.first == UInt8(ascii: ">") {
            bytes = bytes.dropFirst().drop { $0 == UInt8(ascii: " ") }
        }
        if raw.first == UInt8(ascii: ">") { log.counts[.unquotedLines] += 1 }
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
    mutating func read(_ bytes: ArraySlice<UInt8>, number: Int, lines: Int) {
        let line = StraceLine(bytes)
        if line.stamp?.isCoarse == true { log.isCoarse = true }
        if line.thread != nil { hasThreadNumbers = true }
        let place = place(number, line.stamp)
        switch line.content {
        case .other:
            if let call = EvidenceCall.read(bytes) {
                apply(call, at: place)
            } else if bytes.firstPosition(of: "ioctl$KVM_CREATE_VM(") != nil {
                _ = registry.create(descriptor: -1, thread: .unnumbered, line: number)
            } else if let start = bytes.firstPosition(of: "error registering slot: ") {
                registeringFailed(bytes[(start + 24)...], at: place)
            } else if bytes.firstPosition(of: "kvm run failed Bad address") != nil {
                log.counts.kinds[.qemuError, default: 0] += 1
                runFailed(by: .unnumbered, at: place)
            } else {
                // Other programs print small numbers and times of day, but hardly dates.
                let isTraced = line.stamp.map { line.thread != nil || $0.kind == .unix } ?? false
                if let counter = UnreadLine.counter(bytes, isTraced: isTraced) {
                    log.counts[counter] += 1
                }
            }
        case .scenario(let name): log.scenario = log.scenario ?? name
        case .attached(let thread): firstThread.sawAttached(thread)
        case .condensedRuns(let thread):
            log.isCondensed = true
            entered(firstThread.canonical(thread), descriptor: nil, at: place)
            vcpus.leave(firstThread.canonical(thread))
        case .exited:
            let thread = firstThread.canonical(line.thread)
            closeEnd(of: thread, at: place)
            ended(thread)
        case .call(let body):
            let column = body.startIndex - bytes.startIndex + 1
            do throws(StraceSyntaxError) {
                let call = try StraceCall(body)
                var isOpen = call.isRun && StraceCall.isWithoutResult(body)
                if case .other = call { isOpen = true }
                if isOpen {
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
                    if StraceCall.faulted(body) { runFailed(by: thread, at: place) }
                    let length = StraceCall.duration(body)
                    if isMerged, length == nil { hasOpenRuns = true }
                    vcpus.leave(thread, until: length.flatMap { place.time?.advanced(by: $0) })
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
        case .unfinished, .signal: break
        case .resumed(let name, let rest):
            resume(
                name, rest, of: firstThread.canonical(line.thread), at: place,
                column: rest.startIndex - bytes.startIndex + 1)
        }
        log.counts[.joinedLines] += lines
    }

    /// The log, with all threads by their numbers. If it `isCut`, the last line has no end.
    mutating func finish(isCut: Bool) -> SlotCallLog {
        if let wrapped {
            log.counts.endsMidCall = isCut && wrapped.hasSlotCall
            if log.counts.endsMidCall { log.counts[.unfinishedCalls] += 1 } else { cutOff(wrapped) }
        }
        log.counts[.unfinishedCalls] += split.values.count { Self.isSlotCall($0.body) }
        if !hasThreadNumbers { log.counts[.unfollowedThreads] = startedThreads }
        log.machines = registry.machines
        for index in log.machines.indices {
            log.machines[index].showsEveryVCPU =
                log.machines[index].createdOnLine != nil && vcpus.areAllShown(of: index)
                // Otherwise the order of lines is not that of time.
                && !log.clockJumps && !log.counts.mayHideRuns && !hasOpenRuns
        }
        guard let first = firstThread.number else { return log }
        func number(_ thread: inout ThreadID) { if thread == .unnumbered { thread = first } }
        for index in log.calls.indices { number(&log.calls[index].thread) }
        for index in log.failures.indices { number(&log.failures[index].thread) }
        for index in log.machines.indices { number(&log.machines[index].creator) }
        if log.runners.remove(.unnumbered) != nil { log.runners.insert(first) }
        return log
    }

    mutating func place(_ number: Int, _ stamp: TraceStamp?) -> Place {
        let time = stamp.map { TraceTime(rawValue: clock.moment(of: $0)) }
        if let time, let lineTime, time < lineTime {
            epoch += 1
            log.clockJumps = true
        }
        lineTime = time ?? lineTime
        return Place(line: number, time: time, isCoarse: stamp?.isCoarse ?? false, epoch: epoch)
    }

    mutating func cutOff(_ line: WrappedLine) {
        if line.hasSlotCall {
            log.counts[.cutCalls] += 1
        } else if UnreadLine.mayMatter(cut: line.bytes) {
            log.counts[.unreadLines] += 1
        }
    }

    mutating func malformed(_ line: Int, _ column: Int, _ expected: String) {
        log.counts[.malformedCalls] += 1
        guard log.counts.faults.count < ImportReport.listedSurprises else { return }
        log.counts.faults.append(TraceFault(line: line, column: column, expected: expected))
    }
}

extension ArraySlice<UInt8> {
    /// The line without a byte-order mark and a terminal's colours, and with plain spaces.
    fileprivate var cleaned: ArraySlice<UInt8> {
        guard contains(where: { $0 == 0x1b || $0 == 0xc2 || $0 == 0xef }) else { return self }
        var clean: [UInt8] = []
        var rest = self
        while let byte = rest.first {
            if rest.starts(with: [0xef, 0xbb, 0xbf]) {
                rest = rest.dropFirst(3)
            } else if rest.starts(with: [0xc2, 0xa0]) {
                clean.append(0x20)
                rest = rest.dropFirst(2)
            } else if rest.starts(with: [0x1b, UInt8(ascii: "[")]) {
                rest = rest.dropFirst(2).drop { !(0x40...0x7e).contains($0) }.dropFirst()
            } else {
                clean.append(byte)
                rest = rest.dropFirst()
            }
        }
        return clean[...]
    }
}

/// A call whose text ends before its result, as a mail program or a terminal wraps it.
struct WrappedLine {
    var bytes: ArraySlice<UInt8>
    var number, lines: Int

    static let limit = 12

    init(_ bytes: ArraySlice<UInt8>, number: Int, lines: Int) {
        // A copy: a slice would retain the whole chunk.
        self.bytes = Array(bytes)[...]
        (self.number, self.lines) = (number, lines)
    }

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
struct SplitCall {
    var body: ArraySlice<UInt8>
    var place: Place
    var column: Int
    var presence: GuestPresence?
}

struct Place {
    var line: Int
    var time: TraceTime?
    var isCoarse = false
    var epoch: Int

    /// The moment of this line; a time of whole seconds is up to a second early.
    var moment: Moment {
        Moment(
            earliest: time, latest: isCoarse ? time?.advanced(by: 1_000_000_000) : time,
            epoch: epoch)
    }
}
