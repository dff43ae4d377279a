import MemslotProtocol
import MemslotScenario
import Memslots

extension RunRecording {
    /// Passes the scenario's lines to `body`, like ``ImportedScenario/forEachLine(_:)``. The remark
    /// before each request has the recorded calls with thread, time, duration and `KVM_RUN` counts.
    package func forEachLine<Failure: Error>(
        of scenario: ImportedScenario, _ body: ([UInt8]) throws(Failure) -> Void
    ) throws(Failure) {
        let calls = Dictionary(uniqueKeysWithValues: asked.map { ($0.number, $0) })
        var refused = asked.filter { $0.errno != nil }[...]
        var number = 0
        // The header, a line for each VM, then two for each transaction.
        let first = 1 + scenario.machines.count
        try scenario.forEachLine { (line) throws(Failure) in
            defer { number += 1 }
            guard number >= first, (number - first) % 2 == 0 else { return try body(line) }
            let transaction = scenario.transactions[(number - first) / 2]
            while let call = refused.first, call.number < transaction.line {
                refused = refused.dropFirst()
                try body(Self.remark(of: call, since: scenario.startTime))
            }
            try body(remark(of: transaction, calls: calls, since: scenario.startTime))
        }
        for call in refused { try body(Self.remark(of: call, since: scenario.startTime)) }
    }

    /// The raw calls and their results, in the format of `memslot-lab conform`.
    ///
    /// - Parameter machine: the VM; conform has one VM per run.
    package func rawLines(of machine: Int) -> [UInt8] {
        var writer = JSONWriter()
        for call in asked where call.machine == machine {
            writer.rawCall(
                RawCallLine(.setRegion(call.words), expected: RawReply(call.errno)))
        }
        return writer.bytes
    }

    private func remark(
        of transaction: ImportedTransaction, calls: [Int: RunCall], since start: TraceTime?
    ) -> [UInt8] {
        let own = transaction.calls.compactMap { calls[$0.line] }
        var writer = JSONWriter()
        writer.object {
            $0.member("comment", "at \(own.first?.time.seconds(since: start ?? .zero) ?? "0 s")")
            $0.member("recordedOperations", transaction.calls.count)
            $0.member("thread", UInt64(transaction.thread.rawValue))
            $0.member("runsBefore", own.first?.runsBefore ?? 0)
            $0.list("calls", own) { $0.recorded($1, since: start) }
        }
        writer.newLine()
        return writer.bytes
    }

    private static func remark(of call: RunCall, since start: TraceTime?) -> [UInt8] {
        var writer = JSONWriter()
        writer.object {
            $0.member("comment", "refused: \(call.errno?.name ?? "")")
            $0.member("thread", UInt64(call.thread.rawValue))
            $0.list("calls", [call]) { $0.recorded($1, since: start) }
        }
        writer.newLine()
        return writer.bytes
    }
}

extension TraceTime {
    fileprivate static let zero = TraceTime(rawValue: 0)
}

extension JSONWriter {
    /// Writes a call with the kernel's names, and its result. Times are in nanoseconds.
    fileprivate mutating func recorded(_ call: RunCall, since start: TraceTime?) {
        beginObject()
        member("at", call.time.nanoseconds(since: start ?? .zero))
        member("nanoseconds", call.nanoseconds)
        members(of: call.region)
        if call.guestMemfd >= 0 {
            member("guest_memfd", UInt64(call.guestMemfd))
            member("guest_memfd_offset", address: call.region.guestMemfdOffset)
        }
        member(errno: call.errno)
        member("inside", UInt64(call.inside))
        member("entries", call.entries)
        endObject()
    }
}
