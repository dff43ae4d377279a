import MemslotProtocol
import MemslotScenario

/// Scenario files, and array files.
///
/// A line that is read can be written again as a request, which is the same request.
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
        guard case .single(.request(let read)) = IncomingMessage(parsing: line) else {
            return "line \(step.line) can't be sent: \(String(decoding: line, as: UTF8.self))"
        }
        if read.methodName != request.method {
            return "\(request.method) was sent as \(read.methodName)"
        }
        if let expected = request.expect {
            // Whatever was expected, looking for it in an answer ends.
            _ = ScenarioExpectation.mismatches(expected: expected, response: expected)
        }
        return nil
    }
}
