// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// An observer of C's, with the context that it is lent.
private final class ObserverOfC: Sendable {
    typealias Function =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<memslots_event>?
        ) -> Void
    typealias Release = @convention(c) (UnsafeMutableRawPointer?) -> Void

    private struct Lent {
        let function: Function
        let release: Release?
        let context: UnsafeMutableRawPointer?
    }

    private let lent: CallersOwn<Lent>

    init(_ function: Function, _ release: Release?, _ context: UnsafeMutableRawPointer?) {
        lent = CallersOwn(Lent(function: function, release: release, context: context))
    }

    deinit { lent.value.release?(lent.value.context) }

    func tell(_ event: TableEvent) {
        var event = memslots_event(event)
        lent.value.function(lent.value.context, &event)
    }
}

extension memslots_event {
    fileprivate init(_ event: TableEvent) {
        self.init()
        switch event {
        case .committed(let receipt, let previous, _):
            kind = UInt32(MEMSLOTS_EVENT_COMMITTED)
            generation = receipt.generation.rawValue
            previous_generation = previous.rawValue
        case .rolledBack(let rollback, let now):
            kind = UInt32(MEMSLOTS_EVENT_ROLLED_BACK)
            kernel_errno = rollback.errno.rawValue
            (generation, previous_generation) = (now.rawValue, now.rawValue)
        case .failed(let failure, let now):
            kind = UInt32(MEMSLOTS_EVENT_FAILED)
            kernel_errno = failure.errno.rawValue
            (generation, previous_generation) = (now.rawValue, now.rawValue)
        case .recovered(let now):
            kind = UInt32(MEMSLOTS_EVENT_RECOVERED)
            (generation, previous_generation) = (now.rawValue, now.rawValue)
        case .retired(let gone):
            kind = UInt32(MEMSLOTS_EVENT_RETIRED)
            (generation, previous_generation) = (gone.rawValue, gone.rawValue)
        }
    }
}

/// An observation that C can end.
private final class OpenObservation: Sendable {
    let observation: Observation
    // The events are this table's.
    let table: OpenTable

    init(_ observation: Observation, of table: OpenTable) {
        self.observation = observation
        self.table = table
    }
}

@c @implementation
public func memslots_observe(
    _ table: memslots_table,
    _ observer: (
        @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<memslots_event>?) -> Void
    )?,
    _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ context: UnsafeMutableRawPointer?, _ generation: UnsafeMutablePointer<UInt64>?,
    _ observation: UnsafeMutablePointer<memslots_observation>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let observer, let observation else {
            throw .badArgument("observer or observation is NULL")
        }
        return try with(table) { open throws(Problem) in
            let told = ObserverOfC(observer, release, context)
            let begun: (snapshot: TableSnapshot, observation: Observation)
            do throws(ReentryError) { begun = try open.table.observe { told.tell($0) } } catch {
                throw .reentrant(error)
            }
            let held = OpenObservation(begun.observation, of: open)
            observation.pointee.value = try LibMemslots.open(held, as: .observation)
            generation?.pointee = begun.snapshot.generation.rawValue
            return ok
        }
    }
}

@c @implementation
public func memslots_observation_end(_ observation: memslots_observation) -> Int32 {
    answer { () throws(Problem) in try close(observation.value, .observation) }
}
