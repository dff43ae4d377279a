import Memslots

/// SplitMix64: the same draws on every run.
struct SmallRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// An array with one of the layouts, ascending by id.
    mutating func array(of layouts: [SmallLayout]) -> [Memslot] {
        let layout = layouts[Int(next() % UInt64(layouts.count))]
        return layout.runs.enumerated().compactMap { id, run in
            run.map { SmallKind.all[Int(next() >> 32) % SmallKind.count].slot(id, $0) }
        }
    }
}
