import MemslotProtocol
import MemslotScenario
import MemslotTestKit
import Memslots

/// The first inputs of each target, derived from the fixtures.
enum Corpus {
    /// Large inputs are slow, and their mutations are seldom interesting.
    private static let mostBytes = 1 << 14

    /// Writes a folder for each target. Returns whether each target has inputs.
    static func write(from fixtures: String, to folder: String) -> Bool {
        var count: [FuzzTarget: Int] = [.replies: 1]
        guard Files.write(ReplyFuzz.correctReplies, to: "\(folder)/replies/correct") else {
            return false
        }
        for path in files(below: fixtures) {
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

    /// The files in and below `folder`, sorted.
    static func files(below folder: String) -> [String] {
        let names = (Files.names(in: folder) ?? []).filter { !$0.hasPrefix(".") }
        return names.flatMap { name in
            let path = "\(folder)/\(name)"
            return Files.names(in: path) == nil ? [path] : files(below: path)
        }.sorted()
    }

    private static func inputs(from bytes: [UInt8], at path: String) -> [(FuzzTarget, [UInt8])] {
        // A former finding is an input itself.
        for target in FuzzTarget.allCases where path.contains("/fuzz/\(target.rawValue)/") {
            return [(target, bytes)]
        }
        if path.contains("/field/") { return [(.evidence, Array(bytes.prefix(mostBytes)))] }
        if path.hasSuffix(".txt") { return [(.traces, Array(bytes.prefix(mostBytes)))] }
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

    /// The requests of a scenario as lines of a client.
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

    /// A stream in the form of ``LineFuzz``, in pieces of different sizes.
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

/// The arrays of a scenario as steps of ``PlanFuzz``, with their addresses mapped to its universe.
enum PlanInput {
    /// The steps; empty if the scenario submits nothing.
    static func bytes(ofScenario scenario: [UInt8]) -> [UInt8] {
        var reader = ScenarioReader(LineReader(bytes: scenario))
        var arrays: [[SlotParameters]] = []
        while arrays.count < 6, let step = try? reader.next() {
            guard case .request(let request) = step.content,
                request.method == Method.memslotsSubmit.rawValue,
                let list = request.params?["slots"]
            else { continue }
            var writer = JSONWriter()
            writer.raw(list.rawBytes)
            if let file = try? ArrayFile(writer.bytes) {
                arrays.append(Array(file.slots.prefix(40)))
            }
        }
        if arrays.isEmpty { return [] }
        let borders = arrays.joined().flatMap {
            [
                $0.guestPhysicalAddress.rawValue,
                $0.guestPhysicalAddress.rawValue &+ $0.size.rawValue,
            ]
        }
        let order = Array(Set(borders)).sorted()
        func page(_ address: UInt64) -> UInt8 {
            UInt8(truncatingIfNeeded: (order.firstIndex(of: address) ?? 0) % 64)
        }
        // 32 slots, two address spaces, guest_memfd; automatic dirty logs.
        var input: [UInt8] = [31 | 32 | 64, 0]
        var known = 0
        for array in arrays {
            // Empties the draft first.
            for _ in 0..<known { input += [5, 0] }
            for slot in array {
                let start = slot.guestPhysicalAddress.rawValue
                let first = page(start)
                let end = page(start &+ slot.size.rawValue)
                let host = slot.userspaceAddress?.rawValue ?? slot.memoryOffset?.rawValue ?? 0
                input += [
                    0,
                    UInt8(truncatingIfNeeded: (slot.slot ?? 31) % 32 | slot.addressSpace % 2 << 5),
                    first, end > first ? end - first - 1 : 0,
                    UInt8(truncatingIfNeeded: host >> 12 % 32),
                    UInt8(truncatingIfNeeded: slot.flags.rawValue & 7)
                        | (slot.memory == nil ? 0 : 8),
                ]
            }
            known = array.count
            input.append(13)
        }
        return input
    }
}
