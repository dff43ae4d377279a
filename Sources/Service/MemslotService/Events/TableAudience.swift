internal import Memslots

/// Who is told what every table says, besides the subscribers.
final class TableAudience: Sendable {
    typealias Observer = @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void

    /// A closure behind a generic `inout` is wrapped anew at every access, even one that only
    /// reads, until a call of it overflows the stack. In a structure of its own it is not.
    private struct Place: Sendable {
        let tell: Observer
    }

    private let observer = Locked<Place?>(nil)

    /// Lets `observer` be told from now on.
    func set(_ observer: @escaping Observer) {
        self.observer.withLock { $0 = Place(tell: observer) }
    }

    func tell(_ event: TableEvent, vm: String, user: UInt32) {
        observer.withLock { $0 }?.tell(event, vm, user)
    }
}
