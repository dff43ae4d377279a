import MemslotProtocol

/// A report for programs: one JSON object.
package struct ReportJSON {
    private let report: BenchmarkReport

    package init(_ report: BenchmarkReport) { self.report = report }

    /// The object; times in nanoseconds, sizes in bytes, rates in operations a second.
    package var text: String {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("machine")
        writer.machine(report.machine)
        writer.key("parts")
        writer.beginArray()
        for section in report.sections { writer.section(section) }
        writer.endArray()
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    private mutating func member(_ name: StaticString, _ value: String) {
        key(name)
        string(value)
    }

    private mutating func member(_ name: StaticString, _ value: Int) {
        key(name)
        integer(value)
    }

    private mutating func member(_ name: StaticString, _ value: Bool) {
        key(name)
        bool(value)
    }

    private mutating func member(_ name: StaticString, _ value: Double) {
        key(name)
        float(value)
    }

    fileprivate mutating func machine(_ machine: MachineDescription) {
        beginObject()
        member("processor", machine.processor)
        member("cores", machine.cores)
        member("kernel", machine.kernel)
        member("kvm", machine.hasKVM)
        member("avx512", machine.hasAVX512)
        endObject()
    }

    fileprivate mutating func section(_ section: BenchmarkReport.Section) {
        beginObject()
        member("part", section.part.rawValue)
        key("rows")
        beginArray()
        for row in section.rows { self.row(row) }
        endArray()
        key("skipped")
        beginArray()
        for reason in section.skipped { string(reason) }
        endArray()
        endObject()
    }

    private mutating func row(_ row: BenchmarkRow) {
        beginObject()
        member("name", row.name)
        if let slots = row.slots { member("slots", slots) }
        member("unit", row.unit.rawValue)
        key("measured")
        spread(row.measured)
        if let yardstick = row.yardstick, let measured = row.yardstickMeasured {
            member("yardstick", yardstick)
            key("yardstickMeasured")
            spread(measured)
        }
        if let ratio = row.ratio { member("ratio", ratio) }
        if let target = row.target, let isMet = row.isMet {
            member("target", target.text(in: row.unit))
            member("met", isMet)
        }
        endObject()
    }

    private mutating func spread(_ spread: Spread) {
        beginObject()
        member("median", spread.median)
        member("p10", spread.low)
        member("p90", spread.high)
        member("rounds", spread.rounds)
        endObject()
    }
}
