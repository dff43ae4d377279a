import MemslotPicture
import Testing

@Suite("timeline")
struct TimelineTests {
    @Test("each span is drawn in its lane, with a tooltip; unknown lanes are left out")
    func spans() throws {
        let picture = TimelinePicture(
            lanes: ["transaction", "vCPU 0"],
            spans: [
                .init(lane: 0, time: 1000..<5000, label: "validate"),
                .init(lane: 0, time: 5000..<25_000, label: "apply <&>", kind: .failed),
                .init(lane: 1, time: 4000..<25_000, label: "held out", kind: .held),
                .init(lane: 7, time: 0..<9_000_000, label: "nowhere"),
            ])
        let read = try SVGReader(picture.svg())
        #expect(
            read.titles == [
                "Timeline", "validate\n4.0 µs", "held out\n21.0 µs", "apply <&>\n20.0 µs",
            ])
        #expect(read.texts.contains("24.0 µs"))
        #expect(read.texts.contains("10.0 µs"))
        #expect(read.isWithinPage)
    }

    @Test("nothing, all of time, and more spans than pixels")
    func edges() throws {
        let none = try SVGReader(TimelinePicture(lanes: [], spans: []).svg())
        #expect(none.texts.contains("nothing happened"))
        let all = TimelinePicture(
            lanes: ["a"], spans: [.init(lane: 0, time: 0..<UInt64.max, label: "all")])
        #expect(try SVGReader(all.svg()).isWithinPage)
        let many = TimelinePicture(
            lanes: ["a"],
            spans: (0..<50_000).map {
                .init(lane: 0, time: UInt64($0) * 10..<UInt64($0) * 10 + 5, label: "\($0)")
            })
        #expect(try SVGReader(many.svg()).titles.count < 1000)
    }
}
