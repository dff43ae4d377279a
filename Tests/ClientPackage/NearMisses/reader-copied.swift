// A reader that is copied into an array.
// error: type 'TableReader' does not conform to protocol 'Copyable'
import Memslots

#if MISS
    func readers(of table: MemslotTable) -> [TableReader] { [table.makeReader(as: "device")] }
#else
    func reader(of table: MemslotTable) -> TableReader { table.makeReader(as: "device") }
#endif
