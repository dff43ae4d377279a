import MemslotPicture
import Testing

@Suite("human units")
struct HumanUnitsTests {
    @Test(
        "a size is exact where that is short, and says so where it is not",
        arguments: [
            (0, "0 B"), (1, "1 B"), (4096, "4 KiB"), (1025, "1025 B"), (0xa0000, "640 KiB"),
            (256 << 20, "256 MiB"), (3 << 29, "1.5 GiB"), (2047 << 20, "2047 MiB"),
            ((1 << 30) + 4096, "~1 GiB"), ((1 << 40) - 4096, "~1 TiB"),
            (0x7_1234_5000, "~28.3 GiB"),
            (1 << 43, "8 TiB"), (1 << 52, "4 PiB"), (.max, "~16 EiB"), ((9999 << 20), "9999 MiB"),
            ((10_239 << 20), "~10 GiB"),
        ] as [(UInt64, String)])
    func sizes(bytes: UInt64, text: String) {
        #expect(HumanSize(bytes: bytes).description == text)
    }

    @Test(
        "a duration has one decimal in its largest unit",
        arguments: [
            (0, "0 ns"), (850, "850 ns"), (999, "999 ns"), (1000, "1.0 µs"), (12_345, "12.3 µs"),
            (999_949, "999.9 µs"), (999_950, "1.0 ms"), (1_249_999, "1.2 ms"),
            (1_250_000, "1.3 ms"), (3_000_000_000, "3.0 s"), (59_940_000_000, "59.9 s"),
            (59_950_000_000, "1 min 0 s"), (125_000_000_000, "2 min 5 s"),
            (3_720_000_000_000, "1 h 2 min"), (.max, "5124095 h 34 min"),
        ] as [(UInt64, String)])
    func durations(nanoseconds: UInt64, text: String) {
        #expect(HumanDuration(nanoseconds: nanoseconds).description == text)
    }

    @Test(
        "a figure has three significant digits",
        arguments: [
            (0.5, .nanoseconds, "0.500 ns"), (999.4, .nanoseconds, "999 ns"),
            (999.6, .nanoseconds, "1.00 µs"), (12_345, .nanoseconds, "12.3 µs"),
            (65_536, .bytes, "64.0 KiB"), (2_500_000, .perSecond, "2.50 M/s"),
            (12.34, .factor, "12.3×"),
        ] as [(Double, HumanFigure.Unit, String)])
    func figures(value: Double, unit: HumanFigure.Unit, text: String) {
        #expect(HumanFigure(value, unit).description == text)
    }
}
