// An asynchronous submit without `await`.
// error: expression is 'async' but is not marked with 'await'
import Memslots

#if MISS
    actor Controller {
        func clear(_ table: MemslotTable) async throws { try table.submit([]) }
    }
#else
    actor Controller {
        func clear(_ table: MemslotTable) async throws { try await table.submit([]) }
    }
#endif
