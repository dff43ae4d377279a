import MemslotProtocol
import MemslotScenario
import MemslotTrace
import Memslots

/// Reads scenario files and array files. A line that is read must be encodable as the same request.
enum ScenarioFuzz {
    static func run(_ bytes: [UInt8]) -> String? {
        _ = try? ArrayFile(bytes)
        var reader = ScenarioReader(LineReader(limit: 1 << 16, bytes: bytes))
        var last = 0
        do throws(UnusableInput) {
            while let step = try reader.next() {
                guard step.line > last else { return "line \(step.line) comes after \(last)" }
                last = step.line
                if let broken = fault(in: step) { return broken }
            }
        } catch {
            if error.line <= last { return "line \(error.line) was read, and refused later" }
        }
        return nil
    }

    private static func fault(in step: ScenarioStep) -> String? {
        guard case .request(let request) = step.content else { return nil }
        var writer = JSONWriter()
        request.write(id: step.line, to: &writer)
        var line = writer.bytes
        if line.last == UInt8(ascii: "\n") { line.removeLast() }
        guard case .single(let read) = RequestDecoder().decode(line), let method = read.methodName
        else { return "line \(step.line) can't be sent: \(String(decoding: line, as: UTF8.self))" }
        if method != request.method { return "\(request.method) was sent as \(method)" }
        if let expected = request.expect {
            // The comparison must end for every expectation.
            _ = ScenarioExpectation.mismatches(expected: expected, reply: expected)
        }
        return nil
    }
}

/// Imports strace logs, whole and in pieces, with no difference. The scenario must be readable.
enum TraceFuzz {
    private enum Outcome: Equatable {
        case scenario([UInt8])
        case refused(String)
    }

    static func run(_ bytes: [UInt8]) -> String? {
        let whole = outcome(of: bytes, pieces: bytes.count)
        if let broken = bytes.difference(from: whole, inPieces: outcome) { return broken }
        guard case .scenario(let lines) = whole else { return nil }
        var reader = ScenarioReader(LineReader(bytes: lines))
        do throws(UnusableInput) {
            while try reader.next() != nil {}
        } catch {
            return "line \(error.line) of the scenario: \(error.message)"
        }
        return nil
    }

    private static func outcome(of bytes: [UInt8], pieces size: Int) -> Outcome {
        var importer = TraceImporter()
        do throws(TraceError) {
            for piece in bytes.pieces(of: size) { importer.consume(piece) }
            var lines: [UInt8] = []
            try importer.finish().scenario.forEachLine { lines += $0 }
            return .scenario(lines)
        } catch { return .refused("\(error)") }
    }
}

/// Reads evidence of any kind, whole and in pieces, and writes each report about it. The pieces
/// must make no difference, and the report's data must be JSON.
enum EvidenceFuzz {
    private struct Outcome: Equatable {
        var text = ""
        var json: [UInt8] = []
    }

    static func run(_ bytes: [UInt8]) -> String? {
        let whole = outcome(of: bytes, pieces: bytes.count)
        if let broken = bytes.difference(from: whole, inPieces: outcome) { return broken }
        guard !whole.json.isEmpty else { return nil }
        do throws(JSONError) { _ = try JSONDocument(parsing: whole.json) } catch {
            return "the report's data is not JSON: \(error)"
        }
        return nil
    }

    private static func outcome(of bytes: [UInt8], pieces size: Int) -> Outcome {
        var options = TraceImporter.Options()
        options.acceptsUndecoded = true
        var reader = EvidenceReader(options: options)
        do throws(UnusableInput) {
            for piece in bytes.pieces(of: size) { try reader.consume(piece) }
            switch try reader.finish() {
            case .view(let view):
                let findings = view.differences(from: []).map(\.description)
                return Outcome(text: findings.joined(separator: "\n"))
            case .calls(let imported):
                return Outcome(text: imported.report.text, json: ReportDocument(imported).json)
            }
        } catch { return Outcome(text: "\(error)") }
    }
}

extension [UInt8] {
    fileprivate func pieces(of size: Int) -> [ArraySlice<UInt8>] {
        stride(from: 0, to: count, by: Swift.max(size, 1)).map {
            self[$0..<Swift.min($0 + size, count)]
        }
    }

    fileprivate func difference<Outcome: Equatable>(
        from whole: Outcome, inPieces outcome: ([UInt8], Int) -> Outcome
    ) -> String? {
        let size = Int(first ?? 0) + 1
        return outcome(self, size) == whole
            ? nil : "pieces of \(size) bytes are read as something else"
    }
}
