import MemslotProtocol

/// A report for programs: one JSON object.
package struct ReportJSON {
    private let report: BenchmarkReport

    /// Shows `report`.
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
    fileprivate mutating func machine(_ machine: MachineDescription) {
        beginObject()
        key("processor")
        string(machine.processor)
        key("cores")
        integer(machine.cores)
        key("kernel")
        string(machine.kernel)
        key("kvm")
        bool(machine.hasKVM)
        key("avx512")
        bool(machine.hasAVX512)
        endObject()
    }

    fileprivate mutating func section(_ section: BenchmarkReport.Section) {
        beginObject()
        key("part")
        string(section.part.rawValue)
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
        key("name")
        string(row.name)
        if let slots = row.slots {
            key("slots")
            integer(slots)
        }
        key("unit")
        string(row.unit.rawValue)
        key("measured")
        spread(row.measured)
        if let yardstick = row.yardstick, let measured = row.yardstickMeasured {
            key("yardstick")
            string(yardstick)
            key("yardstickMeasured")
            spread(measured)
        }
        if let ratio = row.ratio {
            key("ratio")
            float(ratio)
        }
        if let target = row.target, let isMet = row.isMet {
            key("target")
            string(target.text(in: row.unit))
            key("met")
            bool(isMet)
        }
        endObject()
    }

    private mutating func spread(_ spread: Spread) {
        beginObject()
        key("median")
        float(spread.median)
        key("p10")
        float(spread.low)
        key("p90")
        float(spread.high)
        key("rounds")
        integer(spread.rounds)
        endObject()
    }
}
