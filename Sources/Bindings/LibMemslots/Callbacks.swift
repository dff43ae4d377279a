// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// A hook that calls C functions.
private final class CHook: MemslotHook {
    private static let reasonCapacity = 512
    let name: String
    private let borrowed: Borrowed<memslots_hook_functions>

    private var functions: memslots_hook_functions { borrowed.value }

    var needsQuiescence: Bool { functions.needs_quiescence }

    init(_ functions: memslots_hook_functions) {
        name = string(functions.name) ?? "hook"
        borrowed = Borrowed(value: functions)
    }

    deinit { functions.release?(functions.context) }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        guard let prepare = functions.prepare else { return }
        var change = memslots_change(change)
        let capacity = Self.reasonCapacity
        let veto = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) {
            reason -> String? in
            reason.initialize(repeating: 0)
            if prepare(functions.context, &change, reason.baseAddress, capacity) == 0 {
                return nil
            }
            reason[capacity - 1] = 0
            let text = reason.baseAddress.flatMap { string(UnsafePointer($0)) } ?? ""
            return text.isEmpty ? "no reason given" : text
        }
        if let veto { throw HookVeto(veto) }
    }

    func commit(_ change: MemslotChange) { call(functions.commit, change) }

    func finish(_ change: MemslotChange) { call(functions.finish, change) }

    func abort(_ change: MemslotChange) { call(functions.abort, change) }

    private func call(
        _ function: (
            @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<memslots_change>?) -> Void
        )?, _ change: MemslotChange
    ) {
        guard let function else { return }
        var change = memslots_change(change)
        function(functions.context, &change)
    }
}

/// A hook in a table, until its handle is closed.
private final class OpenHook: Sendable {
    let hook: CHook
    let table: OpenTable

    init(_ hook: CHook, in table: OpenTable) {
        self.hook = hook
        self.table = table
    }
}

@c @implementation
public func memslots_hook_add(
    _ table: memslots_table, _ functions: UnsafePointer<memslots_hook_functions>?,
    _ hook: UnsafeMutablePointer<memslots_hook>?
) -> Int32 {
    returnCode { () throws(Problem) in
        guard let read = try SizedStructure.read(functions), let hook else {
            throw .badArgument("functions or hook is NULL")
        }
        try with(table) { open throws(Problem) in
            // If there is no free handle, `deinit` still releases the context.
            let added = CHook(read)
            hook.pointee.value = try HandleTable.shared.open(
                OpenHook(added, in: open), as: .hook)
            open.table.add(added)
        }
    }
}

@c @implementation
public func memslots_hook_remove(_ hook: memslots_hook) -> Int32 {
    returnCode { () throws(Problem) in
        try HandleTable.shared.with(hook.value, .hook, as: OpenHook.self) { open in
            open.table.table.remove(open.hook)
        }
        try HandleTable.shared.close(hook.value, .hook)
    }
}

/// An observer that calls a C function.
private final class CObserver: Sendable {
    typealias Function =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<memslots_event>?
        ) -> Void
    typealias Release = @convention(c) (UnsafeMutableRawPointer?) -> Void

    private struct Functions {
        let function: Function
        let release: Release?
        let context: UnsafeMutableRawPointer?
    }

    private let borrowed: Borrowed<Functions>

    init(_ function: Function, _ release: Release?, _ context: UnsafeMutableRawPointer?) {
        borrowed = Borrowed(
            value: Functions(function: function, release: release, context: context))
    }

    deinit { borrowed.value.release?(borrowed.value.context) }

    func send(_ event: TableEvent) {
        var event = memslots_event(event)
        borrowed.value.function(borrowed.value.context, &event)
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

/// An observation, until its handle is closed.
private final class OpenObservation: Sendable {
    let observation: Observation
    // Keeps the table whose events are observed.
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
    returnCode { () throws(Problem) in
        guard let observer, let observation else {
            throw .badArgument("observer or observation is NULL")
        }
        try with(table) { open throws(Problem) in
            let observer = CObserver(observer, release, context)
            let start: (snapshot: TableSnapshot, observation: Observation)
            do throws(ReentryError) { start = try open.table.observe { observer.send($0) } } catch {
                throw .reentrant(error)
            }
            observation.pointee.value = try HandleTable.shared.open(
                OpenObservation(start.observation, of: open), as: .observation)
            generation?.pointee = start.snapshot.generation.rawValue
        }
    }
}

@c @implementation
public func memslots_observation_end(_ observation: memslots_observation) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.close(observation.value, .observation)
    }
}
