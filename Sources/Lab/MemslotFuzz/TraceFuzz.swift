import MemslotProtocol
import MemslotScenario
import MemslotTrace

/// strace logs, whole and in pieces.
///
/// Where the pieces end makes no difference, and what was imported is a scenario that reads.
enum TraceFuzz {
    private enum Outcome: Equatable {
        case scenario([UInt8])
        case refused(String)
    }

    static func run(_ bytes: [UInt8]) -> String? {
        let size = Int(bytes.first ?? 0) + 1
        let whole = outcome(of: bytes, pieces: bytes.count)
        if whole != outcome(of: bytes, pieces: size) {
            return "pieces of \(size) bytes are read as something else"
        }
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
            for start in stride(from: 0, to: bytes.count, by: max(size, 1)) {
                try importer.consume(bytes[start..<min(start + size, bytes.count)])
            }
            var lines: [UInt8] = []
            try importer.finish().scenario.forEachLine { lines += $0 }
            return .scenario(lines)
        } catch {
            return .refused("\(error)")
        }
    }
}
