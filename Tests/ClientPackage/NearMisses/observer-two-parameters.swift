// An observer that expects more than the event.
// error: contextual closure type '@Sendable (TableEvent) -> Void' expects 1 argument
import Memslots

#if MISS
    func observe(_ table: MemslotTable) throws -> Observation {
        try table.observe { event, receipt in print(event, receipt) }.observation
    }
#else
    func observe(_ table: MemslotTable) throws -> Observation {
        try table.observe { event in print(event) }.observation
    }
#endif
