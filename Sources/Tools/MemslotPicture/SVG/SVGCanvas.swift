package struct SVGCanvas {
    private var body = ""
    private let style: String

    package init(style: String = svgStyle) { self.style = style }

    package mutating func rect<Number: SVGNumber>(
        x: Number, y: Number, width: Number, height: Number, class name: String, radius: Int = 0
    ) {
        body += "<rect class=\"\(name)\" x=\"\(x.svg)\" y=\"\(y.svg)\""
        body += " width=\"\(max(0, width).svg)\" height=\"\(max(0, height).svg)\""
        body += radius > 0 ? " rx=\"\(radius)\"/>\n" : "/>\n"
    }

    mutating func rect(_ frame: SVGFrame, class name: String, radius: Int = 0) {
        rect(
            x: frame.x, y: frame.y, width: frame.width, height: frame.height, class: name,
            radius: radius)
    }

    package mutating func line<Number: SVGNumber>(
        from start: (x: Number, y: Number), to end: (x: Number, y: Number), class name: String
    ) {
        body += "<line class=\"\(name)\" x1=\"\(start.x.svg)\" y1=\"\(start.y.svg)\" "
        body += "x2=\"\(end.x.svg)\" y2=\"\(end.y.svg)\"/>\n"
    }

    package mutating func text<Number: SVGNumber>(
        _ content: String, x: Number, y: Number, class name: String
    ) {
        body += "<text class=\"\(name)\" x=\"\(x.svg)\" y=\"\(y.svg)\">"
        body += "\(escaped(content))</text>\n"
    }

    mutating func label(_ heavy: String, _ light: String, x: Int, y: Int) {
        body += "<text class=\"label\" x=\"\(x)\" y=\"\(y)\"><tspan class=\"heavy\">"
        body += "\(escaped(heavy))</tspan><tspan dx=\"9\">\(escaped(light))</tspan></text>\n"
    }

    mutating func path(_ data: String, class name: String) {
        body += "<path class=\"\(name)\" d=\"\(data)\"/>\n"
    }

    mutating func group(tooltip: String, draw: (inout SVGCanvas) -> Void) {
        body += "<g><title>\(escaped(tooltip))</title>\n"
        draw(&self)
        body += "</g>\n"
    }

    package func document(
        width: Int, height: Int, title: String, description: String? = nil
    ) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" role="img" width="\(width)" height="\(height)" \
        viewBox="0 0 \(width) \(height)">
        <title>\(escaped(title))</title>
        \(description.map { "<desc>\(escaped($0))</desc>\n" } ?? "")<style>
        \(style)</style>
        <rect class="page" width="\(width)" height="\(height)"/>
        \(body)</svg>

        """
    }
}

package protocol SVGNumber: Comparable, ExpressibleByIntegerLiteral {
    /// The number with at most one digit after the point.
    var svg: String { get }
}

extension Int: SVGNumber { package var svg: String { String(self) } }

extension Double: SVGNumber {
    package var svg: String {
        let tenths = Int((self * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(Double(tenths) / 10)"
    }
}

struct SVGFrame: Equatable {
    var x, y, width, height: Int

    var middle: Int { y + height / 2 }
}

private let entities: [Unicode.Scalar: String] = [
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;", "\n": "\n",
    "\t": "\t", "\u{fffe}": "\u{fffd}", "\u{ffff}": "\u{fffd}",
]

/// `text` for XML: entities for the five special characters, U+FFFD for those XML 1.0 forbids.
func escaped(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
        entities[scalar] ?? (scalar < " " ? "\u{fffd}" : String(scalar))
    }.joined()
}

/// The style sheet of maps and timelines: system fonts, and colours for a light and a dark page.
package let svgStyle = String(decoding: PackageResources.map_css, as: UTF8.self)
