internal import MemslotProtocol

/// Why a file can't be used, and where.
package struct UnusableInput: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    package var line: Int
    /// The column in characters, from 1.
    package var column: Int
    /// What was expected, and what was found.
    package var message: String

    /// Holds the place and the reason.
    package init(line: Int, column: Int, message: String) {
        self.line = line
        self.column = column
        self.message = message
    }

    /// `line 3, column 5: expected …`.
    package var description: String { "line \(line), column \(column): \(message)" }

    /// `FILE:3:5: expected …`, as compilers say it.
    package func described(in file: String) -> String { "\(file):\(line):\(column): \(message)" }
}

extension ParameterReader {
    /// Reads an object that is a line of a file by itself.
    static func read<Object: ParameterObject>(
        _ value: JSONValue, line: Int, as type: Object.Type
    ) throws(UnusableInput) -> Object {
        var object = Object()
        var reader = ParameterReader(value)
        reader.object(at: value.node, into: &object)
        if let fault = reader.fault {
            let position = JSONValue(document: value.document, node: fault.node).position
            throw UnusableInput(
                line: line, column: position.column,
                message: (fault.path.isEmpty ? "" : fault.path + ": ") + fault.message)
        }
        return object
    }
}
