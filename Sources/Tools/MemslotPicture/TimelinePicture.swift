/// What happened when, in lanes: a strip of time as SVG.
///
/// For the phases of a transaction beside the vCPUs that it holds out, or for a recorded run.
package struct TimelinePicture: Sendable {
    /// What a span is, which is its colour.
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Work that nobody waits for.
        case work
        /// A wait.
        case wait
        /// A time in which somebody is held out.
        case held
        /// Something that failed.
        case failed
    }

    /// Something that took time.
    package struct Span: Hashable, Sendable {
        /// The index of its lane; spans of lanes that aren't there are not drawn.
        package var lane: Int
        /// When it began and ended, in nanoseconds of any clock.
        package var time: Range<UInt64>
        /// What it was; drawn where it fits, and always in the tooltip.
        package var label: String
        /// Its colour.
        package var kind: Kind

        /// Makes a span.
        package init(lane: Int, time: Range<UInt64>, label: String, kind: Kind = .work) {
            self.lane = lane
            self.time = time
            self.label = label
            self.kind = kind
        }
    }

    /// The names of the lanes, from the top.
    package var lanes: [String]
    /// The spans, in any order. Those of one lane may lie within each other; the later begun is
    /// drawn over the earlier.
    package var spans: [Span]

    /// Prepares the picture of `spans`.
    package init(lanes: [String], spans: [Span]) {
        self.lanes = lanes
        self.spans = spans
    }

    /// The timeline as an SVG file: self-contained, for light and dark pages.
    ///
    /// Time is linear from the first span's begin to the last one's end. Spans that would share a
    /// pixel with the one before of their lane and kind are one block, so that any number is a
    /// picture of bounded size.
    package func svg(title: String = "Timeline") -> String {
        TimelineSVG(self).document(title: title)
    }
}
