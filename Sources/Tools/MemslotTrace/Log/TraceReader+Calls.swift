import Memslots

/// What a line does to the log: calls that begin, resume and end, and threads that come and go.
extension TraceReader {
    mutating func begin(
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
                presence: Self.slotCall(body)
                    .flatMap { $0 < 0 ? nil : registry.machine(descriptor: $0, thread: thread) }
                    .map(vcpus.presence)), forKey: thread)
        if let lost, Self.isSlotCall(lost.body) { log.counts[.unfinishedCalls] += 1 }
    }

    mutating func resume(
        _ name: ArraySlice<UInt8>, _ rest: ArraySlice<UInt8>, of thread: ThreadID,
        at place: Place, column: Int
    ) {
        guard let beginning = split.removeValue(forKey: thread), beginning.body.starts(with: name)
        else {
            if name.equals("ioctl") { log.counts[.orphanEnds] += 1 }
            return
        }
        let length = beginning.body.count
        do throws(StraceSyntaxError) {
            let call = try StraceCall(beginning.body + rest)
            if call.isRun {
                if StraceCall.faulted(rest) { runFailed(by: thread, at: place) }
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

    /// `from` is the line on which the call begins, with `presence`; `to` the one on which strace
    /// resumed it, `nil` for a call on one line.
    mutating func apply(
        _ call: StraceCall, of thread: ThreadID, from: Place, to: Place?,
        _ presence: GuestPresence? = nil
    ) {
        switch call {
        case .other: break
        case .createdVM(let descriptor):
            _ = registry.create(descriptor: descriptor, thread: thread, line: (to ?? from).line)
            log.counts.kinds[.strace, default: 0] += 1
        case .createdVCPU(let vm, let descriptor):
            guard let machine = registry.machine(descriptor: vm, thread: thread) else { break }
            vcpus.create(descriptor: descriptor, thread: thread, machine: machine)
        case .run(let descriptor): entered(thread, descriptor: descriptor, at: from)
        case .cloned(let child, let sharesProcess):
            firstThread.sawAttached(child)
            if sharesProcess { startedThreads += 1 }
            registry.clone(parent: thread, child: child, sharesProcess: sharesProcess)
        case .duplicated(let descriptor, let copy):
            registry.duplicate(descriptor: descriptor, copy: copy, thread: thread)
        case .closed(let descriptor): registry.close(descriptor: descriptor, thread: thread)
        case .changedMemory(let name, let left):
            if log.memoryChanges.count == MemoryChange.limit { log.memoryChanges.removeFirst() }
            log.memoryChanges.append(MemoryChange(line: from.line, call: name, left: left))
        case .slot(let call):
            log.counts.kinds[.strace, default: 0] += 1
            var end = (to ?? Place(line: from.line, epoch: epoch)).moment
            if let length = call.nanoseconds {
                end = from.moment.advanced(by: length)
            } else if to == nil {
                end = Moment(earliest: from.time, epoch: from.epoch)
            }
            apply(
                call.outcome, call.region, on: call.descriptor, of: thread, at: to ?? from,
                from: from.moment, to: end, presence)
            if to == nil, call.nanoseconds == nil, case .succeeded = call.outcome {
                openEnd[thread] = log.calls.indices.last
            }
        }
    }

    mutating func apply(_ call: EvidenceCall, at place: Place) {
        log.counts.kinds[call.kind, default: 0] += 1
        if call.result == .none { log.counts[.assumedResults] += 1 }
        // QEMU's event, which has the user address, and its error line are about one call.
        if call.kind == .qemuError, let last = log.failures.last, last.hasUserAddress,
            place.line - last.line <= 4, let errno = last.errno, call.result == .failed(errno),
            let region = last.region,
            region.slot == call.region.slot, region.memorySize == call.region.memorySize,
            region.guestPhysicalAddress == call.region.guestPhysicalAddress
        {
            return
        }
        let thread = call.process ?? .unnumbered
        let before = lineTime
        let place = call.stamp == nil ? place : self.place(place.line, call.stamp)
        // The text is written after the call; it began after the one before.
        apply(
            // A program without results: the kernel's rules decide.
            call.result == .none ? .succeeded : call.result, call.region,
            hasUserAddress: call.hasUserAddress, of: thread, at: place,
            from: Moment(earliest: before ?? place.time, latest: place.time, epoch: epoch),
            to: place.moment)
    }

    /// QEMU's second line about a failed call, which has only the C library's text of its errno.
    mutating func registeringFailed(_ text: ArraySlice<UInt8>, at place: Place) {
        log.counts.kinds[.qemuError, default: 0] += 1
        guard log.failures.last.map({ $0.line < place.line - 1 }) ?? true else { return }
        apply(
            .failed(EvidenceCall.errno(text)), nil, of: .unnumbered, at: place,
            from: place.moment, to: place.moment)
    }

    /// - Parameter descriptor: the VM's; −1 in a text that has none.
    mutating func apply(
        _ outcome: StraceSlotCall.Outcome, _ region: RawRegion?, hasUserAddress: Bool = true,
        on descriptor: Int32 = -1, of thread: ThreadID, at place: Place, from: Moment, to: Moment,
        _ presence: GuestPresence? = nil
    ) {
        let machine =
            registry.machine(descriptor: descriptor, thread: thread)
            ?? registry.create(descriptor: descriptor, thread: thread, line: nil)
        guard outcome != .none else {
            log.counts[.unfinishedCalls] += 1
            return
        }
        let now = vcpus.presence(of: machine)
        var call = RecordedCall(
            line: place.line, thread: thread, time: place.time, machine: machine, region: region,
            hasUserAddress: hasUserAddress, begin: from, end: to, runsBefore: runs[thread] ?? 0,
            atBegin: presence ?? now, atEnd: now)
        if case .failed(let errno) = outcome { call.errno = errno }
        let index = log.calls.count
        guard log.add(call) else { return }
        awaitingRun[thread] = (awaitingRun[thread]?.lowerBound ?? index)..<index + 1
    }

    mutating func entered(_ thread: ThreadID, descriptor: Int32?, at place: Place) {
        log.counts[.runs] += 1
        log.counts.kinds[.strace, default: 0] += 1
        runs[thread, default: 0] += 1
        vcpus.enter(thread, descriptor: descriptor)
        log.runners.insert(thread)
        for index in awaitingRun.removeValue(forKey: thread) ?? 0..<0
        where log.calls[index].thread == thread { log.calls[index].nextRun = place.line }
    }

    mutating func runFailed(by thread: ThreadID, at place: Place) {
        guard log.runFaults.count < SlotCallLog.failureLimit else { return }
        log.runFaults.append(
            RunFault(
                line: place.line, thread: thread, time: place.time,
                machine: vcpus.machine(run: thread)))
    }

    /// A call on one line without its duration has ended where the thread's next line begins.
    mutating func closeEnd(of thread: ThreadID, at place: Place) {
        guard let index = openEnd.removeValue(forKey: thread),
            log.calls[index].end.epoch == place.epoch
        else { return }
        log.calls[index].end.latest = place.moment.latest
    }

    mutating func ended(_ thread: ThreadID) {
        vcpus.leave(thread)
        if let beginning = split.removeValue(forKey: thread), Self.isSlotCall(beginning.body) {
            log.counts[.unfinishedCalls] += 1
        }
    }

    static func isSlotCall(_ body: ArraySlice<UInt8>) -> Bool { slotCall(body) != nil }

    /// The descriptor of a slot call, −1 if it can't be read; `nil` for another call.
    private static func slotCall(_ body: ArraySlice<UInt8>) -> Int32? {
        var scanner = ByteScanner(body)
        guard scanner.skip("ioctl(") else { return nil }
        let descriptor = scanner.number().flatMap { Int32(exactly: $0) } ?? -1
        guard scanner.skip(past: ", "), let request = KVMRequest.read(&scanner) else { return nil }
        let isSlotCall = request == .setUserMemoryRegion || request == .setUserMemoryRegion2
        return isSlotCall ? descriptor : nil
    }
}
