/// Why a file can't be used, and where.
public struct UnusableInput: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    public var line: Int
    /// The column in characters, from 1.
    public var column: Int
    /// What was expected, and what was found.
    public var message: String

    /// Holds the place and the reason.
    public init(line: Int, column: Int, message: String) {
        self.line = line
        self.column = column
        self.message = message
    }

    /// `line 3, column 5: expected …`.
    public var description: String { "line \(line), column \(column): \(message)" }

    /// `FILE:3:5: expected …`, as compilers say it.
    public func described(in file: String) -> String { "\(file):\(line):\(column): \(message)" }
}
