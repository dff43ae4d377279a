import MemslotLab
import Memslots

/// Reads without staying inside while it looks.
struct StaleReader: ReadingWay {
    func read(_ table: MemslotTable, as name: String, _ body: (TableSnapshot) -> Void) {
        body(table.snapshot())
    }
}
