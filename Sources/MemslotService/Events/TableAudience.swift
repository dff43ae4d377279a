internal import Memslots
internal import Synchronization

/// Who is told what every table says, besides the subscribers.
final class TableAudience: Sendable {
    typealias Observer = @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void

    private let observer = Mutex<Observer?>(nil)

    /// Lets `observer` be told from now on.
    func set(_ observer: @escaping Observer) { self.observer.withLock { $0 = observer } }

    func tell(_ event: TableEvent, vm: String, user: UInt32) {
        observer.withLock { $0 }?(event, vm, user)
    }
}
