// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

private final class CHook: MemslotHook {
    let name: String
    private let borrowed: Borrowed<memslots_hook_functions>

    private var functions: memslots_hook_functions { borrowed.value }
    var needsQuiescence: Bool { functions.needs_quiescence }

    init(_ functions: memslots_hook_functions) {
        name = string(functions.name) ?? "hook"
        borrowed = Borrowed(functions) { functions.release?(functions.context) }
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        guard let prepare = functions.prepare else { return }
        var change = memslots_change(change)
        let veto = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) {
            reason -> String? in
            reason.initialize(repeating: 0)
            if prepare(functions.context, &change, reason.baseAddress, 512) == 0 { return nil }
            reason[511] = 0
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

@c @implementation public func memslots_hook_add(
    _ table: memslots_table, _ functions: UnsafePointer<memslots_hook_functions>?,
    _ hook: UnsafeMutablePointer<memslots_hook>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let read = try SizedStructure.read(functions), let hook else {
            throw .badArgument("functions or hook is NULL")
        }
        // If there is no free handle, `deinit` still releases the context.
        let added = CHook(read)
        hook.pointee.value = try HandleTable.shared.open(Open(added, in: open), as: .hook)
        open.table.add(added)
    }
}

@c @implementation public func memslots_hook_remove(_ hook: memslots_hook) -> Int32 {
    returnCode { () throws(Problem) in
        try HandleTable.shared.with(hook.value, .hook, as: Open<CHook>.self) { open in
            open.table.table.remove(open.value)
        }
        try HandleTable.shared.close(hook.value, .hook)
    }
}

extension memslots_event {
    fileprivate init(_ event: TableEvent) {
        let (kind, now, previous, errno): (Int, Generation, Generation, Errno?) =
            switch event {
            case .committed(let receipt, let previous, _):
                (MEMSLOTS_EVENT_COMMITTED, receipt.generation, previous, nil)
            case .rolledBack(let rollback, let now):
                (MEMSLOTS_EVENT_ROLLED_BACK, now, now, rollback.errno)
            case .failed(let failure, let now): (MEMSLOTS_EVENT_FAILED, now, now, failure.errno)
            case .recovered(let now): (MEMSLOTS_EVENT_RECOVERED, now, now, nil)
            case .retired(let gone): (MEMSLOTS_EVENT_RETIRED, gone, gone, nil)
            }
        self.init()
        self.kind = UInt32(kind)
        (generation, previous_generation) = (now.rawValue, previous.rawValue)
        kernel_errno = errno?.rawValue ?? 0
    }
}

@c @implementation public func memslots_observe(
    _ table: memslots_table,
    _ observer: (
        @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<memslots_event>?) -> Void
    )?, _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ context: UnsafeMutableRawPointer?, _ generation: UnsafeMutablePointer<UInt64>?,
    _ observation: UnsafeMutablePointer<memslots_observation>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let observer, let observation else {
            throw .badArgument("observer or observation is NULL")
        }
        let caller = Borrowed((observer: observer, context: context)) { release?(context) }
        let start = try converting(
            Problem.reentrant,
            open.table.observe { event in
                var event = memslots_event(event)
                caller.value.observer(caller.value.context, &event)
            })
        observation.pointee.value = try HandleTable.shared.open(
            Open(start.observation, in: open), as: .observation)
        generation?.pointee = start.snapshot.generation.rawValue
    }
}

@c @implementation
public func memslots_observation_end(_ observation: memslots_observation) -> Int32 {
    returnCode { () throws(Problem) in
        try HandleTable.shared.close(observation.value, .observation)
    }
}
