import MemslotTestKit
import Memslots

extension SeededRandom {
    /// An array with one of the layouts, ascending by id.
    mutating func array(of layouts: [SmallLayout]) -> [Memslot] {
        let layout = layouts[Int(next() % UInt64(layouts.count))]
        return layout.runs.enumerated().compactMap { id, run in
            run.map { SmallKind.all[Int(next() >> 32) % SmallKind.count].slot(id, $0) }
        }
    }
}
