/// Text of OpenMetrics 1.0, family by family.
struct OpenMetricsText {
    private var text = ""

    /// A series of a family: its labels and its number.
    typealias Sample = (labels: [(String, String)], value: UInt64)

    /// A counter; its name has no `_total` yet.
    mutating func counter(_ name: String, _ meaning: String, _ samples: [Sample]) {
        guard begin(name, "counter", meaning, samples.isEmpty) else { return }
        for sample in samples { line(name + "_total", sample.labels, String(sample.value)) }
    }

    /// What there is now.
    mutating func gauge(_ name: String, _ meaning: String, _ samples: [Sample]) {
        guard begin(name, "gauge", meaning, samples.isEmpty) else { return }
        for sample in samples { line(name, sample.labels, String(sample.value)) }
    }

    /// Times, in seconds; the name must say so.
    mutating func summary(
        _ name: String, _ meaning: String,
        _ samples: [(labels: [(String, String)], value: TimeSummary)]
    ) {
        guard begin(name, "summary", meaning, samples.isEmpty, unit: "seconds") else { return }
        for (labels, value) in samples {
            for (rank, nanoseconds) in zip(TimeSummary.ranks, value.percentiles) {
                line(name, labels + [("quantile", rank.quantile)], seconds(nanoseconds))
            }
            line(name + "_count", labels, String(value.count))
            line(name + "_sum", labels, seconds(value.sum))
        }
    }

    /// The text with its end.
    consuming func finish() -> String { text + "# EOF\n" }

    private mutating func begin(
        _ name: String, _ type: String, _ meaning: String, _ isEmpty: Bool, unit: String? = nil
    ) -> Bool {
        guard !isEmpty else { return false }
        text += "# TYPE \(name) \(type)\n"
        if let unit { text += "# UNIT \(name) \(unit)\n" }
        text += "# HELP \(name) \(meaning).\n"
        return true
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
            text += "{\(pairs.joined(separator: ","))}"
        }
        text += " \(value)\n"
    }

    private func seconds(_ nanoseconds: UInt64) -> String {
        (Double(nanoseconds) / 1e9).description
    }

    private static func escaped(_ label: String) -> String {
        var text = ""
        for scalar in label.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
