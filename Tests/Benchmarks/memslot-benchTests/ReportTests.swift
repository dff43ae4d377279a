import Foundation
import MemslotPicture
import Testing

@testable import memslot_bench

@Suite("Reports")
struct ReportTests {
    private var report: BenchmarkReport {
        var report = BenchmarkReport(
            machine: MachineDescription(
                processor: "A <processor>", cores: 2, kernel: "6.1", hasKVM: false,
                hasAVX512: true))
        var met = BenchmarkRow(
            name: "a | b", slots: 4_096, unit: .nanoseconds, measured: Spread([10]))
        met.yardstick = "C & co"
        met.yardstickMeasured = Spread([20])
        met.ratio = 0.5
        met.target = .ratioAtMost(1)
        var missed = BenchmarkRow(name: "slow", unit: .bytes, measured: Spread([2_048]))
        missed.target = .atMost(1_024)
        var section = BenchmarkReport.Section(part: .wire)
        section.rows = [met, missed]
        section.skipped = ["blackout: no KVM here"]
        report.sections = [section]
        return report
    }

    @Test("the text shows ratios, targets, missed targets and skipped steps")
    func text() {
        let text = ReportText(report: report).lines.joined(separator: "\n")
        #expect(text.contains("a | b, 4,096 slots"))
        #expect(text.contains("0.500×"))
        #expect(text.contains("skipped: blackout: no KVM here"))
        #expect(text.hasSuffix("1 of 2 targets met; missed: slow"))
    }

    @Test("the JSON is JSON, with plain figures")
    func json() throws {
        let value = try JSONSerialization.jsonObject(
            with: Data(report.json.utf8))
        let object = try #require(value as? [String: Any])
        let parts = try #require(object["parts"] as? [[String: Any]])
        let rows = try #require(parts.first?["rows"] as? [[String: Any]])
        #expect(rows.count == 2)
        #expect(rows[0]["ratio"] as? Double == 0.5)
        #expect(rows[0]["met"] as? Bool == true)
        #expect(rows[1]["met"] as? Bool == false)
    }

    @Test("a document keeps everything outside of its marks")
    func markedDocument() throws {
        let before = "# Title\n\n<!-- bench:wire -->\nold\n<!-- /bench -->\n\nmine\n"
        let once = try #require(replaceSection("wire", of: before, by: "| new |"))
        #expect(
            once == "# Title\n\n<!-- bench:wire -->\n\n| new |\n\n<!-- /bench -->\n\nmine\n")
        // Again, it stays as it is.
        #expect(replaceSection("wire", of: once, by: "| new |") == once)
        #expect(replaceSection("diff", of: once, by: "x") == nil)
    }

    @Test("a section without an end stays")
    func unendedSection() {
        let text = "<!-- bench:a -->\n<!-- bench:b -->\n<!-- /bench -->\n"
        #expect(replaceSection("a", of: text, by: "x") == nil)
    }

    @Test("the tables escape the character that ends a cell")
    func markdown() {
        let sections = ReportMarkdown(report: report).sections
        #expect(sections.map(\.name) == ["machine", "summary", "wire"])
        #expect(sections[2].text.contains("| a \\| b, 4,096 slots |"))
        #expect(sections[2].text.contains("Skipped: blackout: no KVM here."))
        #expect(sections[1].text.contains("- slow: 2.00 KiB, target ≤ 1.00 KiB"))
    }

    @Test("the generated document has a section for each part, and keeps those not measured")
    func generatedDocument() {
        let once = ReportMarkdown(report: report).update(ReportMarkdown.emptyDocument)
        #expect(once.contains("| a \\| b, 4,096 slots |"))
        #expect(once.contains("A <processor>"))
        for part in BenchmarkPart.allCases {
            #expect(once.contains("\n<!-- bench:\(part.rawValue) -->\n"))
        }
        var other = BenchmarkReport(machine: report.machine)
        other.sections = [BenchmarkReport.Section(part: .diff)]
        let twice = ReportMarkdown(report: other).update(once)
        #expect(twice.contains("| a \\| b, 4,096 slots |"))
        #expect(twice.contains("0 of 0 targets are met."))
        // A document of an older version lacks a part.
        let added = ReportMarkdown(report: report).update("A text.\n")
        #expect(added.hasPrefix("A text.\n"))
        #expect(added.contains("\n<!-- bench:wire -->\n\n| what |"))
    }

    @Test("the plot is XML, and draws a bar for each target")
    func plot() {
        let svg = ReportPlot(report: report).svg
        let parser = XMLCounter()
        #expect(parser.read(svg))
        #expect(parser.classes["met"] == 1)
        #expect(parser.classes["missed"] == 1)
        #expect(svg.contains("A &lt;processor&gt;"))
        #expect(svg.contains("prefers-color-scheme: dark"))
    }
}

/// Counts the elements of each class, without an XML parser, which is a separate module.
private final class XMLCounter {
    var classes: [String: Int] = [:]

    /// - Returns: whether every element is closed in order.
    func read(_ text: String) -> Bool {
        var open: [Substring] = []
        for piece in text.split(separator: "<").dropFirst(0) {
            guard let end = piece.firstIndex(of: ">") else { return false }
            let tag = piece[..<end]
            if let start = tag.range(of: "class=\"") {
                let name = tag[start.upperBound...].prefix { $0 != "\"" }
                classes[String(name), default: 0] += 1
            }
            if tag.hasPrefix("/") {
                guard open.popLast() == tag.dropFirst() else { return false }
            } else if !tag.hasSuffix("/") {
                open.append(tag.prefix { $0 != " " })
            }
        }
        return open.isEmpty
    }
}
