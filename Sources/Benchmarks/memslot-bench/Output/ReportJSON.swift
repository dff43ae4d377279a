import Foundation

extension BenchmarkReport {
    /// The report as one JSON object: times in nanoseconds, sizes in bytes, rates a second.
    package var json: String {
        get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }
    }
}

extension BenchmarkRow: Encodable {
    private enum CodingKeys: CodingKey {
        case name, slots, unit, measured, yardstick, yardstickMeasured, ratio, target, met
    }

    package func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: CodingKeys.self)
        try members.encode(name, forKey: .name)
        try members.encodeIfPresent(slots, forKey: .slots)
        try members.encode(unit, forKey: .unit)
        try members.encode(measured, forKey: .measured)
        try members.encodeIfPresent(yardstick, forKey: .yardstick)
        try members.encodeIfPresent(yardstickMeasured, forKey: .yardstickMeasured)
        try members.encodeIfPresent(ratio, forKey: .ratio)
        try members.encodeIfPresent(target?.text(in: unit), forKey: .target)
        try members.encodeIfPresent(isMet, forKey: .met)
    }
}
