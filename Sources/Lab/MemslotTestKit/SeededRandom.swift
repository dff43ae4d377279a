/// Random numbers that a seed repeats, so that a failure can be reproduced: SplitMix64.
package struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// A number below `bound`, which is not 0.
    package mutating func below(_ bound: UInt64) -> UInt64 { next() >> 16 % bound }

    package mutating func draw(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &self)
    }

    /// `true` once in `count` times.
    package mutating func once(in count: Int) -> Bool { draw(1...count) == 1 }
}
