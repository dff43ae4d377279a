/// Random numbers that a seed gives again: xorshift64*.
struct RandomNumbers: Sendable {
    private var state: UInt64

    init(seed: UInt64) {
        // Neighbouring seeds shall not give neighbouring numbers, and 0 would stay 0.
        state = (seed &+ 1) &* 0x9e37_79b9_7f4a_7c15 | 1
        for _ in 0..<8 { _ = next() }
    }

    /// 64 bits.
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }

    /// A number below `bound`, which is not 0.
    mutating func below(_ bound: UInt64) -> UInt64 { next() >> 16 % bound }

    /// True once in `times`.
    mutating func oneIn(_ times: UInt64) -> Bool { below(times) == 0 }

    /// One of `values`; `nil` where there are none.
    mutating func pick<Value>(_ values: [Value]) -> Value? {
        values.isEmpty ? nil : values[Int(below(UInt64(values.count)))]
    }
}
