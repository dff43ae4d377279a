// An observation that ends at once, because nothing keeps it.
// error: result of call to 'observe' is unused
import Memslots

#if MISS
    func observe(_ table: MemslotTable) throws {
        try table.observe { event in print(event) }
    }
#else
    func observe(_ table: MemslotTable) throws -> Observation {
        try table.observe { event in print(event) }.observation
    }
#endif
