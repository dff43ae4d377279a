import MemslotProtocol
import MemslotScenario
import Memslots

/// A report as JSON (Docs/Reports.md), whose arrays are stored as differences, and as one page.
package struct ReportDocument: Sendable {
    private let holds: [Range<UInt64>]
    private let report: ImportReport
    /// The begin of the first call or hold; times are counted from it.
    private let origin: UInt64

    /// Without holds of vCPUs, or with their times on the clock of the calls.
    package init(_ imported: TraceImport, holds: [Range<UInt64>] = []) {
        self.holds = holds
        report = imported.report
        let calls = imported.scenario.transactions.lazy.flatMap(\.calls)
            .compactMap { $0.begin.earliest?.rawValue }.min()
        // Calls that were deferred are made in the course of their hold.
        let held = holds.lazy.map(\.lowerBound).filter { $0 > 0 }.min()
        origin = min(calls ?? held ?? 0, held ?? calls ?? 0)
    }

    /// The page: HTML with its style, script and data inside, which loads nothing.
    package var page: [UInt8] {
        var page = PackageResources.page_html
        // A string of the data can't end the element that holds it.
        let data = json.flatMap { $0 == UInt8(ascii: "<") ? Array("\\u003c".utf8) : [$0] }
        page.replace("/*STYLE*/", with: PackageResources.page_css)
        page.replace("/*SCRIPT*/", with: PackageResources.page_js)
        page.replace("/*DATA*/", with: data)
        return page
    }

    package var json: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("report", 1)
            writer.member("name", report.scenario.name)
            writer.member("headline", report.headline)
            writer.list("unknownBecause", report.unknownBecause) { $0.string($1) }
            writer.list("machines", report.scenario.machines) { $0.string($1.name) }
            writer.member("missingBytes", address: report.missing.rawValue)
            writer.member("removedBytes", address: report.removedBytes)
            transactions(&writer)
            writer.list("holds", holds) { writer, hold in
                writer.beginArray()
                writer.integer(hold.lowerBound - min(origin, hold.lowerBound))
                writer.integer(hold.upperBound - min(origin, hold.upperBound))
                writer.endArray()
            }
            writer.list("failures", report.failures + report.runFaults) { writer, failure in
                let call = failure.call
                writer.object {
                    $0.member("vm", call.machine)
                    $0.member("line", call.line)
                    // A recorded call is shown where it begins.
                    let begin = report.isRecorded ? call.begin.earliest : nil
                    $0.number("at", since(begin ?? call.time))
                    $0.member("thread", UInt64(call.thread.rawValue))
                    $0.member("errno", call.errno)
                    $0.member("call", failure.words)
                    $0.member("rule", failure.explanation.rule?.rawValue)
                    $0.member("text", failure.explanation.description)
                }
            }
            writer.list("findings", report.findings) { writer, item in
                writer.object {
                    $0.member("vm", item.machine)
                    $0.member("severity", item.finding.severity.rawValue)
                    $0.member("kind", item.finding.kind.rawValue)
                    $0.member("text", item.finding.text)
                    $0.member("start", item.finding.range.map { bare($0.lowerBound) })
                }
            }
            writer.list("notes", report.notes) { $0.string($1) }
        }
        return writer.bytes
    }

    private func transactions(_ writer: inout JSONWriter) {
        writer.list("transactions", report.scenario.transactions) { writer, transaction in
            writer.beginObject()
            if transaction.machine > 0 { writer.member("vm", transaction.machine) }
            writer.member("thread", UInt64(transaction.thread.rawValue))
            writer.list("calls", transaction.calls) { call($1, &$0) }
            if !transaction.audit.all.isEmpty {
                writer.list("holes", transaction.audit.all) { $0.hole($1) }
            }
            writer.member("what", transaction.summary)
            writer.member("guest", transaction.audit.guestDuringTransaction.rawValue)
            writer.list("removed", transaction.removed) { $0.string("\($1.assignedKey)") }
            writer.list("added", transaction.added) { $0.slot($1) }
            // Slots that stay as they are need no call.
            let (old, new) = (transaction.removed, transaction.added)
            if transaction.calls.count > 1, let plan = Self.plan(old, new) {
                writer.list("plan", plan) { $0.string($1) }
            }
            writer.endObject()
        }
    }

    /// The fewest calls from one array to the other, as text; `nil` if a host refuses one of them.
    private static func plan(_ before: [Memslot], _ after: [Memslot]) -> [String]? {
        do {
            let table = try MemslotTable(backend: OfflineBackend())
            _ = try table.submit(before, options: SubmitOptions())
            return try table.plan(after, options: SubmitOptions()).operations.map { operation in
                let place = operation.call.after.map { " at \($0.guestPhysicalAddress)" }
                return "\(operation.call.name) slot \(operation.call.key)" + (place ?? "")
            }
        } catch { return nil }
    }

    /// `[line, begin, end, text]`.
    private func call(_ call: RecordedCall, _ writer: inout JSONWriter) {
        writer.beginArray()
        writer.integer(UInt64(call.line))
        writer.number(since(call.begin.earliest))
        writer.number(since(call.end.latest))
        writer.string(call.region.map(Self.text) ?? "undecoded")
        writer.endArray()
    }

    private func since(_ time: TraceTime?) -> UInt64? {
        time.map { $0.nanoseconds(since: TraceTime(rawValue: origin)) }
    }

    private static func text(_ region: RawRegion) -> String {
        let slot = Memslot(region)
        return region.memorySize == 0 ? "delete \(slot.assignedKey)" : "set \(slot.assignedKey)"
    }
}

/// Hexadecimal digits without `0x`: a script's numbers have 53 bits.
private func bare(_ value: UInt64) -> String { String(value, radix: 16) }

extension JSONWriter {
    /// `null` for an unknown number.
    fileprivate mutating func number(_ value: UInt64?) {
        if let value { integer(value) } else { null() }
    }

    fileprivate mutating func number(_ name: StaticString, _ value: UInt64?) {
        key(name)
        number(value)
    }

    fileprivate mutating func hole(_ hole: Hole) {
        beginObject()
        if hole.addressSpace != .main { member("addressSpace", UInt64(hole.addressSpace.rawValue)) }
        member("start", bare(hole.start.rawValue))
        member("size", bare(hole.size.rawValue))
        list("lines", [hole.removedOnLine, hole.returnedOnLine]) { $0.integer(UInt64($1)) }
        number("certain", hole.certainNanoseconds)
        number("atMost", hole.atMostNanoseconds)
        member("backing", hole.backing.rawValue)
        member("verdict", hole.verdict.rawValue)
        member("guest", hole.guest.rawValue)
        endObject()
    }

    /// `[key, guest address, size, host address, flags, object]`.
    fileprivate mutating func slot(_ slot: Memslot) {
        let host = slot.host(at: slot.guestPhysicalAddress.rawValue)
        beginArray()
        string("\(slot.assignedKey)")
        string(bare(slot.guestPhysicalAddress.rawValue))
        string(bare(slot.size.rawValue))
        string(bare(host?.start ?? slot.userspaceAddress.rawValue))
        integer(UInt64(slot.flags.rawValue))
        if let file = host?.file { string("guest_memfd \(file)") }
        endArray()
    }
}

extension [UInt8] {
    fileprivate mutating func replace(_ mark: StaticString, with bytes: [UInt8]) {
        guard let start = self[...].firstPosition(of: mark) else { return }
        replaceSubrange(start..<start + mark.utf8CodeUnitCount, with: bytes)
    }
}
