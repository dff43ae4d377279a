package import Memslots

extension ParameterReader {
    /// An address or a size: a JSON integer, or a string `"0x…"` or decimal; 0 … 2^64 − 1.
    @inline(__always)
    package mutating func quantity(at node: Int) -> UInt64 {
        let expected = "an integer, or a string \"0x…\" or decimal"
        return value(of: document.quantity(at: node), at: node, expected)
    }

    /// A count, an id or a generation: a JSON integer.
    @inline(__always)
    package mutating func integer(at node: Int) -> UInt64 {
        value(of: document.unsignedInteger(at: node), at: node, "an integer")
    }

    @inline(__always)
    private mutating func value(
        of result: Result<UInt64, IntegerProblem>, at node: Int, _ expected: String
    ) -> UInt64 {
        switch result {
        case .success(let value): return value
        case .failure(let problem):
            failInteger(at: node, problem, expected)
            return 0
        }
    }

    package mutating func integer(at node: Int, in range: ClosedRange<UInt64>) -> UInt64 {
        let value = integer(at: node)
        guard fault == nil else { return range.lowerBound }
        guard range.contains(value) else {
            fail(at: node, "\(value) is not in \(range.lowerBound) … \(range.upperBound)")
            return range.lowerBound
        }
        return value
    }

    /// Whether the value at `node` is `null`, which no parameter may be.
    package func isNull(at node: Int) -> Bool { document.nodes[node].kind == .null }

    /// Whether the value at `node` is a list, where one value may stand alone.
    package func isArray(at node: Int) -> Bool { document.nodes[node].kind == .array }

    package mutating func bool(at node: Int) -> Bool {
        switch document.nodes[node].kind {
        case .true: return true
        case .false: return false
        default:
            failKind(at: node, "true or false")
            return false
        }
    }

    package mutating func string(at node: Int) -> String {
        guard document.nodes[node].isString else {
            failKind(at: node, "a string")
            return ""
        }
        return document.text(of: node)
    }

    /// The name of something new.
    package mutating func newName(at node: Int) -> String {
        let name = string(at: node)
        if fault == nil, let reason = nameFault(name) { fail(at: node, reason) }
        return name
    }

    package mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        at node: Int, default first: Choice
    ) -> Choice {
        let text = string(at: node)
        guard fault == nil else { return first }
        if let choice = Choice(rawValue: text) { return choice }
        let known = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        fail(at: node, "\"\(shortened(text))\" is not one of \(known)")
        return first
    }

    /// A list of different flags.
    package mutating func flags(at node: Int) -> MemslotFlags {
        var flags: MemslotFlags = []
        array(at: node) { element, reader in
            guard let flag = reader.flag(at: element) else { return }
            if flags.contains(flag) { reader.fail(at: element, "the flag is given twice") }
            flags.insert(flag)
        }
        return flags
    }

    private mutating func flag(at node: Int) -> MemslotFlags? {
        guard document.nodes[node].isString else {
            failKind(at: node, "a flag's name")
            return nil
        }
        for (flag, name) in MemslotFlags.wireNames where document.text(of: node, equals: name) {
            return flag
        }
        let text = document.text(of: node)
        let names = MemslotFlags.wireNames.map(\.name)
        let hint =
            nearestName(to: text, among: names).map { "did you mean \"\($0)\"?" }
            ?? "known: \(names.joined(separator: ", "))"
        fail(at: node, "unknown flag \"\(shortened(text))\"; \(hint)")
        return nil
    }

    /// An errno by its symbolic name.
    package mutating func errno(at node: Int) -> Errno? {
        let name = string(at: node)
        guard fault == nil else { return nil }
        if let errno = Errno(name: name) { return errno }
        fail(at: node, "\"\(shortened(name))\" is not an errno; expected a name such as \"ENOMEM\"")
        return nil
    }

    @inline(never)
    package mutating func failInteger(at node: Int, _ problem: IntegerProblem, _ expected: String) {
        switch problem {
        case .negative: fail(at: node, "expected \(expected), found a negative number")
        case .float:
            fail(at: node, "expected \(expected), found a number with a fraction or an exponent")
        case .tooLarge: fail(at: node, "expected \(expected) below 2^64")
        case .notANumber where document.nodes[node].isString && expected != "an integer":
            let text = shortened(document.text(of: node))
            fail(at: node, "expected \(expected), found the string \"\(text)\"")
        case .notANumber: failKind(at: node, expected)
        }
    }
}
