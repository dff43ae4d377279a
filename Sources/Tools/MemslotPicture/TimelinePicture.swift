/// Events over time, in lanes, as SVG: the phases of a transaction, or a recorded run.
package struct TimelinePicture: Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Work that nothing waits for.
        case work
        case wait
        /// A time in which vCPUs are held.
        case held
        case failed
        /// Memory was missing while a vCPU was in the guest.
        case missing
    }

    package struct Span: Hashable, Sendable {
        /// The index of its lane; a span without a lane is not drawn.
        package var lane: Int
        /// When it began and ended, in nanoseconds of any clock.
        package var time: Range<UInt64>
        /// The text; drawn where it fits, and always in the tooltip.
        package var label: String
        package var kind: Kind

        package init(lane: Int, time: Range<UInt64>, label: String, kind: Kind = .work) {
            (self.lane, self.time, self.label, self.kind) = (lane, time, label, kind)
        }
    }

    package var lanes: [String]
    /// The spans, in any order. Spans of one lane may overlap; the later start is drawn on top.
    package var spans: [Span]

    package init(lanes: [String], spans: [Span]) { (self.lanes, self.spans) = (lanes, spans) }

    /// The timeline as SVG. Spans that share a pixel are drawn as one, so its size is bounded.
    package func svg(title: String = "Timeline") -> String {
        TimelineSVG(self).document(title: title)
    }
}

struct TimelineSVG {
    private static let margin = 36
    private static let left = 180
    private static let width = 820
    private static let laneHeight = 34
    private static let top = 150

    private let lanes: [String]
    private let spans: [TimelinePicture.Span]
    private let start, length: UInt64

    init(_ picture: TimelinePicture) {
        let spans = picture.spans.filter { picture.lanes.indices.contains($0.lane) }
        self.lanes = picture.lanes
        self.spans = spans.sorted {
            ($0.time.lowerBound, $1.time.upperBound) < ($1.time.lowerBound, $0.time.upperBound)
        }
        self.start = spans.map(\.time.lowerBound).min() ?? 0
        self.length = max(1, (spans.map(\.time.upperBound).max() ?? 0) - start)
    }

    func document(title: String) -> String {
        var canvas = SVGCanvas()
        let bottom = Self.top + max(1, lanes.count) * Self.laneHeight
        let total = spans.isEmpty ? "nothing happened" : "\(HumanDuration(nanoseconds: length))"
        canvas.heading(
            title, width: Self.left - Self.margin + Self.width, total, x: Self.margin,
            legend: legend)
        if !spans.isEmpty { drawTicks(to: bottom, on: &canvas) }
        for (index, lane) in lanes.enumerated() {
            let y = Self.top + index * Self.laneHeight
            canvas.text(
                cut(Terminal.safe(lane), toPixels: Self.left - Self.margin - 8), x: Self.margin,
                y: y + 22, class: "muted")
            canvas.path("M\(Self.left) \(y + Self.laneHeight)h\(Self.width)", class: "tick")
        }
        drawSpans(on: &canvas)
        return canvas.document(
            width: Self.left + Self.width + Self.margin + 20, height: bottom + 40, title: title,
            description: total)
    }

    private var legend: [(class: String, text: String)] {
        let kinds = Set(spans.map(\.kind))
        return TimelinePicture.Kind.allCases.filter(kinds.contains).map {
            (Self.style($0), $0.rawValue)
        }
    }

    private static func style(_ kind: TimelinePicture.Kind) -> String {
        switch kind {
        case .work: "ram"
        case .wait: "fold"
        case .held: "replaced"
        case .failed, .missing: "removed"
        }
    }

    private func x(afterStart nanoseconds: UInt64) -> Int {
        // Full width, because nanoseconds times pixels may exceed 2^64.
        let (high, low) = nanoseconds.multipliedFullWidth(by: UInt64(Self.width))
        return Self.left + Int(length.dividingFullWidth((high, low)).quotient)
    }

    private func drawTicks(to bottom: Int, on canvas: inout SVGCanvas) {
        let step = roundStep
        for index in 0...length / step {
            let time = index * step
            let x = x(afterStart: time)
            canvas.path("M\(x) \(Self.top - 6)V\(bottom)", class: "gap")
            let text = time == 0 ? "0" : HumanDuration(nanoseconds: time).description
            canvas.text(text, x: x, y: Self.top - 12, class: "centre")
        }
    }

    /// The smallest of 1, 2, 5, 10, … nanoseconds that fits fewer than ten times.
    private var roundStep: UInt64 {
        var decade: UInt64 = 1
        while true {
            for factor in [1, 2, 5] as [UInt64] where length / factor / decade < 10 {
                return decade * factor
            }
            // At most 10^18: fewer than ten times 2 · 10^18 fit into 2^64.
            decade *= 10
        }
    }

    private func drawSpans(on canvas: inout SVGCanvas) {
        var reached = lanes.map { _ in [TimelinePicture.Kind: Int]() }
        for span in spans {
            let from = x(afterStart: span.time.lowerBound - start)
            let to = x(afterStart: span.time.upperBound - start)
            // It would be invisible on the pixel of its neighbour.
            if to - from < 2, let end = reached[span.lane][span.kind], from < end { continue }
            let frame = SVGFrame(
                x: from, y: Self.top + span.lane * Self.laneHeight + 5, width: max(2, to - from),
                height: Self.laneHeight - 10)
            let end = max(reached[span.lane][span.kind] ?? 0, frame.x + frame.width)
            reached[span.lane][span.kind] = end
            let duration = HumanDuration(nanoseconds: span.time.upperBound - span.time.lowerBound)
            canvas.group(tooltip: "\(span.label)\n\(duration)") { canvas in
                canvas.rect(frame, class: "block \(Self.style(span.kind))", radius: 3)
                guard frame.width > textWidth(span.label) + 12 else { return }
                let x = frame.x + frame.width / 2
                canvas.text(span.label, x: x, y: frame.middle + 4, class: "centre")
            }
        }
    }
}
