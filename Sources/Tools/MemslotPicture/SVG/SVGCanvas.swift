/// SVG as it is written, element by element. All coordinates are whole pixels.
struct SVGCanvas {
    private var body = ""

    /// A rectangle with its corners rounded by `radius`.
    mutating func rect(_ frame: SVGFrame, class name: String, radius: Int = 0) {
        body += "<rect class=\"\(name)\" x=\"\(frame.x)\" y=\"\(frame.y)\""
        body += " width=\"\(max(0, frame.width))\" height=\"\(max(0, frame.height))\""
        body += radius > 0 ? " rx=\"\(radius)\"/>\n" : "/>\n"
    }

    /// A line of text; `class` says its font, its colour and where it is anchored.
    mutating func text(_ content: String, x: Int, y: Int, class name: String) {
        body += "<text class=\"\(name)\" x=\"\(x)\" y=\"\(y)\">\(escaped(content))</text>\n"
    }

    /// A line of text whose first words are heavier.
    mutating func label(_ heavy: String, _ light: String, x: Int, y: Int) {
        body += "<text class=\"label\" x=\"\(x)\" y=\"\(y)\"><tspan class=\"heavy\">"
        body += "\(escaped(heavy))</tspan><tspan dx=\"9\">\(escaped(light))</tspan></text>\n"
    }

    /// A path; `data` is SVG's path language.
    mutating func path(_ data: String, class name: String) {
        body += "<path class=\"\(name)\" d=\"\(data)\"/>\n"
    }

    /// What `draw` draws, with a tooltip.
    mutating func group(tooltip: String, draw: (inout SVGCanvas) -> Void) {
        body += "<g><title>\(escaped(tooltip))</title>\n"
        draw(&self)
        body += "</g>\n"
    }

    /// The whole file.
    func document(width: Int, height: Int, title: String, description: String) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" role="img" width="\(width)" height="\(height)" \
        viewBox="0 0 \(width) \(height)">
        <title>\(escaped(title))</title>
        <desc>\(escaped(description))</desc>
        <style>
        \(svgStyle)
        </style>
        <rect class="page" width="\(width)" height="\(height)"/>
        \(body)</svg>

        """
    }
}

/// A rectangle in whole pixels.
struct SVGFrame: Equatable {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
}

/// `text` as XML: the five special characters as entities, those that XML 1.0 forbids as U+FFFD.
func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result.append(contentsOf: "&amp;".unicodeScalars)
        case "<": result.append(contentsOf: "&lt;".unicodeScalars)
        case ">": result.append(contentsOf: "&gt;".unicodeScalars)
        case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
        case "'": result.append(contentsOf: "&#39;".unicodeScalars)
        case "\n", "\t": result.append(scalar)
        case "\0"..<" ", "\u{fffe}", "\u{ffff}": result.append("\u{fffd}")
        default: result.append(scalar)
        }
    }
    return String(result)
}
