import MemslotTestKit

extension SeededRandom {
    /// The stream named `name` of `seed`: what one draws changes nothing for another.
    init(seed: UInt64, _ name: String) {
        var hash = TraceHash()
        hash.fold(name)
        self.init(seed: seed ^ hash.value)
        _ = next()
    }

    /// A number of `range`.
    mutating func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// `true` once in `count` times.
    mutating func once(in count: Int) -> Bool { draw(1...count) == 1 }
}
