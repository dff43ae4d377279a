/// A change of a file, which `.ci/mutate` puts behind a switch.
struct Mutation: Encodable {
    /// Stands for the switch in ``text``.
    static let isOn = "\u{1}"
    /// Stands for what is replaced, in which there may be other mutations.
    static let old = "\u{2}"

    let file, kind: String
    /// The bytes of the file that are replaced.
    let start: Int
    let end: Int
    let text: String
    let firstLine, lastLine: Int
    /// The first and the last line of the function around it.
    let scope: [Int]
}
