// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// An observer of C's, with the context that it is lent.
///
/// `@unchecked Sendable`: the context is the caller's to share between its threads.
private final class ObserverOfC: @unchecked Sendable {
    typealias Function =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<memslots_event>?
        ) -> Void

    private let function: Function
    private let letGo: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?
    private let context: UnsafeMutableRawPointer?

    init(
        _ function: Function, _ letGo: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
        _ context: UnsafeMutableRawPointer?
    ) {
        self.function = function
        self.letGo = letGo
        self.context = context
    }

    deinit { letGo?(context) }

    func tell(_ event: TableEvent) {
        var event = memslots_event(event)
        function(context, &event)
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
            do throws(ReentryError) {
                let begun = try open.table.observe { told.tell($0) }
                generation?.pointee = begun.snapshot.generation.rawValue
                let held = OpenObservation(begun.observation, of: open)
                guard let handle = HandleTable.shared.open(held, as: .observation) else {
                    return Problem.tooManyHandles.code
                }
                observation.pointee.value = handle
            } catch {
                throw .reentrant(error)
            }
            return ok
        }
    }
}

@c @implementation
public func memslots_observation_end(_ observation: memslots_observation) -> Int32 {
    answer { () throws(Problem) in try close(observation.value, .observation) }
}
