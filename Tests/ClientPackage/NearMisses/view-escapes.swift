// A view that outlives its read.
// error: instance method 'read' requires that 'TableView' conform to 'Copyable'
import Memslots

#if MISS
    func view(of reader: borrowing TableReader) -> TableView { reader.read { view in view } }
#else
    func generation(of reader: borrowing TableReader) -> Generation {
        reader.read { view in view.generation }
    }
#endif
