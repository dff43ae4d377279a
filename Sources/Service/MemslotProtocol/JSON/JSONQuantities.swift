extension JSONDocument {
    /// The address or size at `node`: an integer, or a string `0x…` or decimal.
    ///
    /// A string has no sign and no blanks; hexadecimal digits are of either case; a decimal one
    /// has no leading zeros, which other languages read as octal.
    @inline(__always)
    func quantity(at node: Int) -> Result<UInt64, IntegerProblem> {
        let entry = nodes[node]
        if entry.isString, !entry.hasEscapes {
            let start = Int(entry.offset)
            return quantity(in: start..<start + entry.extent)
        }
        return entry.isString ? quantity(escaped: node) : unsignedInteger(at: node)
    }

    private func quantity(in text: Range<Int>) -> Result<UInt64, IntegerProblem> {
        let start = text.lowerBound
        guard let first = text.first.map({ bytes[$0] }) else { return .failure(.notANumber) }
        guard text.count > 1 else { return decimal(in: text) }
        if first == UInt8(ascii: "0") {
            guard bytes[start + 1] == UInt8(ascii: "x") else { return .failure(.notANumber) }
            return hexadecimal(in: start + 2..<text.upperBound)
        }
        return decimal(in: text)
    }

    /// A string with escapes is read anew without them: as rare as it is odd.
    private func quantity(escaped node: Int) -> Result<UInt64, IntegerProblem> {
        var writer = JSONWriter()
        writer.string(text(of: node))
        guard let plain = try? JSONDocument(parsing: writer.bytes) else {
            return .failure(.notANumber)
        }
        return plain.nodes[0].hasEscapes ? .failure(.notANumber) : plain.quantity(at: 0)
    }
}

extension JSONValue {
    /// The address or size that this is: an integer, or a string `"0x…"` or decimal.
    public var quantity: Result<UInt64, IntegerProblem> { document.quantity(at: node) }
}
