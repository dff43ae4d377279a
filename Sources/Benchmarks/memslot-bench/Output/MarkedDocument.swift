/// A Markdown document in which a tool keeps what stands between marks.
///
/// A section begins with a line `<!-- bench:NAME -->` and ends with `<!-- /bench -->`; everything
/// else is its author's.
package struct MarkedDocument {
    /// The document as it is now.
    package private(set) var text: String

    /// A document as it was read.
    package init(_ text: String) { self.text = text }

    /// Puts `content` between the marks of a section.
    ///
    /// - Returns: whether there is such a section, with its end.
    @discardableResult
    package mutating func replace(_ name: String, by content: String) -> Bool {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let begin = lines.firstIndex(of: "<!-- bench:\(name) -->"),
            let end = lines[begin...].firstIndex(of: Self.end)
        else { return false }
        // A section without an end would swallow the next.
        guard !lines[(begin + 1)..<end].contains(where: { $0.hasPrefix("<!-- bench:") }) else {
            return false
        }
        let inner = ["\n" + content + "\n"].joined().split(
            separator: "\n", omittingEmptySubsequences: false)
        lines.replaceSubrange((begin + 1)..<end, with: inner)
        text = lines.joined(separator: "\n")
        return true
    }

    private static let end: Substring = "<!-- /bench -->"
}
