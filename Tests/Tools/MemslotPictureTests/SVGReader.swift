import Foundation

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// An SVG as the tests see it; throws where it isn't well-formed XML.
final class SVGReader: NSObject, XMLParserDelegate {
    struct Malformed: Error {
        var line: Int
    }

    struct Box {
        var kind: String
        var x: Int
        var y: Int
        var width: Int
        var height: Int
    }

    private(set) var titles: [String] = []
    private(set) var texts: [String] = []
    private(set) var boxes: [Box] = []
    private var classes: [String: Int] = [:]
    private var addressRows: [Int: [Int]] = [:]
    private var page = (width: 0, height: 0)
    private var content = ""

    init(_ svg: String) throws {
        super.init()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = self
        guard parser.parse() else { throw Malformed(line: parser.lineNumber) }
    }

    func count(of name: String) -> Int { classes[name] ?? 0 }

    /// The least distance between two addresses of one axis.
    var closestLabels: Int {
        addressRows.values.map(\.distinctSorted).flatMap { rows in
            zip(rows, rows.dropFirst()).map { $1 - $0 }
        }.min() ?? .max
    }

    /// Whether two slots in one column meet.
    var blocksOverlap: Bool {
        let columns = Dictionary(grouping: boxes.filter { $0.kind.hasPrefix("block") }) { $0.x }
        return columns.values.contains { column in
            let sorted = column.filter { $0.width > 20 }.sorted { $0.y < $1.y }
            return zip(sorted, sorted.dropFirst()).contains { $0.y + $0.height > $1.y }
        }
    }

    var width: Int { page.width }

    /// Whether all boxes are on the page.
    var isWithinPage: Bool {
        boxes.allSatisfy {
            $0.x >= 0 && $0.y >= 0 && $0.x + $0.width <= page.width
                && $0.y + $0.height <= page.height
        }
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
    ) {
        func number(_ key: String) -> Int { attributes[key].flatMap { Int($0) } ?? 0 }
        content = ""
        if let kind = attributes["class"] { classes[kind, default: 0] += 1 }
        switch name {
        case "svg": page = (number("width"), number("height"))
        case "rect":
            boxes.append(
                Box(
                    kind: attributes["class"] ?? "", x: number("x"), y: number("y"),
                    width: number("width"), height: number("height")))
        case "text" where attributes["class"] == "address":
            addressRows[number("x"), default: []].append(number("y"))
        default: break
        }
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { content += string }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?,
        qualifiedName: String?
    ) {
        if name == "title" { titles.append(content) }
        if name == "text" { texts.append(content) }
    }
}

extension [Int] {
    fileprivate var distinctSorted: [Int] { Set(self).sorted() }
}
