import Dispatch
import Memslots

/// A reader on a thread of its own that stays while something else is done.
enum StayingReader {
    static let name = "reader that stays"

    static func stay<R>(in table: MemslotTable, while body: () -> R) -> R {
        let isInside = DispatchSemaphore(value: 0)
        let mayLeave = DispatchSemaphore(value: 0)
        let group = DispatchGroup()
        // A thread of the pool waits, but nothing else that is waited for needs the pool.
        DispatchQueue(label: "memslots.proof.reader").async(group: group) {
            table.read(as: name) { _ in
                isInside.signal()
                mayLeave.wait()
            }
        }
        isInside.wait()
        defer {
            mayLeave.signal()
            group.wait()
        }
        return body()
    }
}
