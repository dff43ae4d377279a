/// Random numbers that a seed repeats. The algorithm is SplitMix64.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    /// The stream named `name` of `seed`: what one draws changes nothing for another.
    init(seed: UInt64, _ name: String) {
        var hash = TraceHash()
        hash.fold(name)
        state = seed ^ hash.value
        _ = next()
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// A number of `range`.
    mutating func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// `true` once in `count` times.
    mutating func once(in count: Int) -> Bool { draw(1...count) == 1 }
}
