import MemslotProtocol
import MemslotScenario

/// The first inputs of each target, made of the fixtures.
enum Corpus {
    /// Large inputs are slow, and mutations of them seldom meet what matters.
    private static let mostBytes = 1 << 14

    /// Writes a folder for each target.
    ///
    /// - Returns: whether each got inputs.
    static func write(from fixtures: String, to folder: String) -> Bool {
        var count: [FuzzTarget: Int] = [:]
        for path in Files.all(below: fixtures) {
            guard let bytes = Files.read(path) else { return false }
            for (target, input) in inputs(from: bytes, at: path) {
                let number = count[target, default: 0]
                guard Files.write(input, to: "\(folder)/\(target.rawValue)/fixture-\(number)")
                else { return false }
                count[target] = number + 1
            }
        }
        for target in FuzzTarget.allCases {
            print("\(target.rawValue): \(count[target, default: 0]) inputs")
        }
        return count.count == FuzzTarget.allCases.count
    }

    private static func inputs(
        from bytes: [UInt8], at path: String
    ) -> [(FuzzTarget, [UInt8])] {
        // What once broke a target is an input as it is.
        for target in FuzzTarget.allCases where path.contains("/fuzz/\(target.rawValue)/") {
            return [(target, bytes)]
        }
        if path.hasSuffix(".txt") {
            return [(.traces, Array(bytes.prefix(mostBytes)))]
        }
        guard path.hasSuffix(".jsonl"), !path.hasSuffix(".raw.jsonl") else { return [] }
        let part = Array(bytes.prefix(mostBytes))
        let requests = requests(of: part)
        var inputs: [(FuzzTarget, [UInt8])] = [
            (.scenarios, part), (.messages, requests), (.lines, pieces(of: requests)),
        ]
        let plan = PlanInput.bytes(ofScenario: bytes)
        if !plan.isEmpty { inputs.append((.plans, plan)) }
        return inputs
    }

    /// The requests of a scenario, as a client sends them.
    private static func requests(of scenario: [UInt8]) -> [UInt8] {
        var reader = ScenarioReader(LineReader(bytes: scenario))
        var writer = JSONWriter()
        while let step = try? reader.next() {
            if case .request(let request) = step.content {
                request.write(id: step.line, to: &writer)
            }
        }
        return writer.bytes
    }

    /// A stream as ``LineFuzz`` reads it, in pieces of ever another size.
    private static func pieces(of stream: [UInt8]) -> [UInt8] {
        var input: [UInt8] = [63, 3]
        var rest = stream.prefix(2_000)
        var size = 1
        while !rest.isEmpty {
            let piece = rest.prefix(size)
            input += [UInt8(piece.count), UInt8(size % 16)] + piece
            rest = rest.dropFirst(piece.count)
            size = size * 3 % 101 + 1
        }
        return input
    }
}
