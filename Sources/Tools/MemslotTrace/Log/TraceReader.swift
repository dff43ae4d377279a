import Memslots

/// Reads a log line by line into a ``SlotCallLog``.
///
/// It keeps only the successful slot calls and one unfinished call per thread.
struct TraceReader {
    var log = SlotCallLog()
    private var clock = TraceClock()
    /// The calls that strace has begun to print and not finished, at most one per thread.
    private var split: [ThreadID: SplitCall] = [:]
    private var firstThread = FirstThread()
    private var registry = MachineRegistry()
    private var vcpus = VCPURegistry()
    /// The number of `KVM_RUN` calls of each thread.
    private var runs: [ThreadID: Int] = [:]

    /// Reads the next line, without its end.
    mutating func consume(line bytes: ArraySlice<UInt8>) throws(TraceError) {
        log.counts.lines += 1
        let number = log.counts.lines
        let line = try StraceLine(bytes, number: number)
        if line.isCoarse { log.isCoarse = true }
        let time = line.stamp.map { TraceTime(rawValue: clock.moment(of: $0)) }
        let place = Place(line: number, time: time)
        switch line.content {
        case .other: break
        case .scenario(let name): log.scenario = log.scenario ?? name
        case .attached(let thread): firstThread.sawAttached(thread)
        case .condensedRuns(let thread):
            log.isCondensed = true
            entered(firstThread.canonical(thread), machine: nil)
            vcpus.leave(firstThread.canonical(thread))
        case .exited: ended(firstThread.canonical(line.thread))
        case .call(let body):
            let start = body.startIndex - bytes.startIndex + 1
            let call = try parse(body) { offset in (number, start + offset) }
            // Other text may not even be a call, but another program's output.
            if case .other = call { break }
            let thread = firstThread.canonical(line.thread, entersGuest: call.isRun)
            apply(call, of: thread, at: place)
            if call.isRun { vcpus.leave(thread) }
        case .unfinished(let body) where StraceCall.matters(body):
            let isRun = (try? StraceCall(body))?.isRun ?? false
            begin(
                body, of: firstThread.canonical(line.thread, entersGuest: isRun), at: place,
                column: body.startIndex - bytes.startIndex + 1)
        case .unfinished: break
        case .resumed(let name, let rest):
            try resume(
                name, rest, of: firstThread.canonical(line.thread), at: place,
                column: rest.startIndex - bytes.startIndex + 1)
        }
    }

    /// The log, with all threads by their numbers.
    mutating func finish() -> SlotCallLog {
        for beginning in split.values where Self.isSlotCall(beginning.body) {
            log.counts.unfinishedCalls += 1
        }
        log.machines = registry.machines
        guard let first = firstThread.number else { return log }
        func named(_ thread: ThreadID) -> ThreadID { thread == .unnumbered ? first : thread }
        for index in log.calls.indices {
            log.calls[index].thread = named(log.calls[index].thread)
        }
        log.machines.indices.forEach {
            log.machines[$0].creator = named(log.machines[$0].creator)
        }
        log.runners = log.runners.mapValues { Set($0.map(named)) }
        log.runnersAnywhere = Set(log.runnersAnywhere.map(named))
        return log
    }
}

/// The beginning of a call that strace has not finished to print, and its place.
private struct SplitCall {
    var body: ArraySlice<UInt8>
    var line: Int
    var column: Int
}

private struct Place {
    var line: Int
    var time: TraceTime?
}

extension TraceReader {
    private func parse(
        _ body: ArraySlice<UInt8>, place: (Int) -> (line: Int, column: Int)
    ) throws(TraceError) -> StraceCall {
        do throws(StraceSyntaxError) {
            return try StraceCall(body)
        } catch {
            let (line, column) = place(error.offset)
            throw .malformed(line: line, column: column, expected: error.expected)
        }
    }

    private mutating func begin(
        _ body: ArraySlice<UInt8>, of thread: ThreadID, at place: Place, column: Int
    ) {
        // A KVM_RUN counts from its beginning.
        if let call = try? StraceCall(body), case .run(let descriptor) = call {
            entered(thread, machine: vcpus.machine(of: descriptor, thread: thread))
        }
        // A copy: a slice would retain the whole chunk.
        let lost = split.updateValue(
            SplitCall(body: Array(body)[...], line: place.line, column: column), forKey: thread)
        if let lost, Self.isSlotCall(lost.body) { log.counts.unfinishedCalls += 1 }
    }

    private mutating func resume(
        _ name: ArraySlice<UInt8>, _ rest: ArraySlice<UInt8>, of thread: ThreadID,
        at place: Place, column: Int
    ) throws(TraceError) {
        guard let beginning = split.removeValue(forKey: thread),
            beginning.body.starts(with: name)
        else { return }
        let length = beginning.body.count
        let call = try parse(beginning.body + rest) { offset in
            offset < length
                ? (beginning.line, beginning.column + offset)
                : (place.line, column + offset - length)
        }
        if call.isRun {
            vcpus.leave(thread)
        } else {
            apply(call, of: thread, at: place)
        }
    }

    private mutating func apply(_ call: StraceCall, of thread: ThreadID, at place: Place) {
        switch call {
        case .other: break
        case .createdVM(let descriptor):
            _ = registry.create(descriptor: descriptor, thread: thread, line: place.line)
        case .createdVCPU(let vm, let descriptor):
            guard let machine = registry.machine(descriptor: vm, thread: thread) else { break }
            vcpus.create(descriptor: descriptor, thread: thread, machine: machine)
        case .run(let descriptor):
            entered(thread, machine: vcpus.machine(of: descriptor, thread: thread))
        case .cloned(let child, let sharesProcess):
            firstThread.sawAttached(child)
            registry.clone(parent: thread, child: child, sharesProcess: sharesProcess)
        case .duplicated(let descriptor, let copy):
            registry.duplicate(descriptor: descriptor, copy: copy, thread: thread)
        case .closed(let descriptor):
            registry.close(descriptor: descriptor, thread: thread)
        case .slot(let call):
            apply(call, of: thread, at: place)
        }
    }

    private mutating func apply(
        _ call: StraceSlotCall, of thread: ThreadID, at place: Place
    ) {
        switch call.outcome {
        case .failed(let errno):
            // A real VMM has few of them; a forged log must not fill memory.
            let isKnown = log.counts.failedCalls[errno] != nil || log.counts.failedCalls.count < 64
            log.counts.failedCalls[isKnown ? errno : "other", default: 0] += 1
        case .none:
            log.counts.unfinishedCalls += 1
        case .succeeded:
            let machine =
                registry.machine(descriptor: call.descriptor, thread: thread)
                ?? registry.create(descriptor: call.descriptor, thread: thread, line: nil)
            log.counts.slotCalls += 1
            if call.region == nil { log.counts.undecodedCalls += 1 }
            log.calls.append(
                RecordedCall(
                    line: place.line, thread: thread, time: place.time, machine: machine,
                    region: call.region, runsBefore: runs[thread] ?? 0,
                    guestWasRunning: vcpus.activitySinceLastCall(of: machine)))
        }
    }

    private mutating func entered(_ thread: ThreadID, machine: Int?) {
        log.counts.runs += 1
        runs[thread, default: 0] += 1
        vcpus.enter(thread, machine: machine)
        if let machine {
            log.runners[machine, default: []].insert(thread)
        } else {
            log.runnersAnywhere.insert(thread)
        }
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
