package import MemslotProtocol

/// A memslot array in a file: a list of slots; an object with `slots`, such as the result of
/// `memslots.get`; a whole reply; a scenario, which means its last submitted array; or the text of
/// QEMU's `info mtree -f`, whose regions are memory objects.
package struct ArrayFile: Sendable {
    /// How messages call it.
    package var name = ""
    package let slots: [SlotParameters]
    /// The list of private guest ranges, as it is in the file; `nil` if there is none.
    package let attributes: JSONValue?
    /// The line on which each slot begins, from 1.
    package let lines: [Int]
    /// The simulated VM that a scenario creates for the array; `nil` if the file describes no VM.
    package let machine: SimulatedParameters?

    /// - Throws: if the file is not an array, with line and column.
    package init(_ bytes: [UInt8]) throws(UnusableInput) {
        if FlatViewText.isText(bytes) {
            let view = FlatViewText(String(decoding: bytes, as: UTF8.self))
            guard !view.isTree else { throw UnusableInput(message: FlatViewText.advice) }
            (slots, lines, attributes, machine) = (view.slots, view.rows.map(\.line), nil, nil)
            return
        }
        var machine: SimulatedParameters?
        let root: JSONValue
        var firstLine = 1
        do throws(JSONError) { root = try JSONDocument(parsing: bytes).root } catch {
            guard let submitted = try Self.lastSubmit(bytes, orThrow: error) else {
                throw UnusableInput(message: "expected a memslots.submit in the scenario")
            }
            root = submitted.params
            firstLine = submitted.line
            machine = submitted.machine
        }
        let list = root["result"]?["slots"] ?? root["params"]?["slots"] ?? root["slots"] ?? root
        guard list.kind == .array else {
            throw UnusableInput(
                line: firstLine,
                message: "expected an array of slots, or an object with \"slots\"; "
                    + "found \(list.kind)")
        }
        var slots: [SlotParameters] = []
        var lines: [Int] = []
        // Counted from one slot to the next: counting from the start each time would be quadratic.
        var line = firstLine
        var counted = 0
        for element in list.elements {
            let start = element.sourceRange.lowerBound
            let bytes = element.document.bytes[counted..<start]
            line += bytes.count { $0 == UInt8(ascii: "\n") }
            counted = start
            slots.append(try ParameterReader.read(element, line: line, as: SlotParameters.self))
            lines.append(line)
        }
        attributes = (root["result"] ?? root["params"] ?? root)["attributes"]
        (self.slots, self.lines, self.machine) = (slots, lines, machine)
    }

    /// The last submit of a scenario. `error` is thrown unless the file has several JSON values.
    private static func lastSubmit(
        _ bytes: [UInt8], orThrow error: JSONError
    ) throws(UnusableInput) -> (params: JSONValue, line: Int, machine: SimulatedParameters?)? {
        guard error.problem == .trailing else {
            throw UnusableInput(line: error.line, column: error.column, message: error.expected)
        }
        var reader = ScenarioReader(LineReader(bytes: bytes))
        var last: (params: JSONValue, line: Int)?
        var machines: [Name: SimulatedParameters] = [:]
        while let step = try reader.next() {
            guard case .request(let request) = step.content, let params = request.params else {
                continue
            }
            if request.method == Method.memslotsSubmit.rawValue { last = (params, step.line) }
            guard request.method == Method.vmCreate.rawValue, let vm = params["vm"]?.string
            else { continue }
            machines[Name(vm)] = SimulatedParameters()
            if let value = params["simulated"] {
                machines[Name(vm)] = try ParameterReader.read(
                    value, line: step.line, as: SimulatedParameters.self)
            }
        }
        return last.map { submit in
            let vm = submit.params["vm"]?.string
            return (submit.params, submit.line, vm.flatMap { machines[Name($0)] })
        }
    }
}
