// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// A hook whose functions are C's.
private final class HookOfC: MemslotHook {
    private static let reasonCapacity = 512
    let name: String
    private let lent: CallersOwn<memslots_hook_functions>

    private var functions: memslots_hook_functions { lent.value }

    var needsQuiescence: Bool { functions.needs_quiescence }

    init(_ functions: memslots_hook_functions) {
        name = string(functions.name) ?? "hook"
        lent = CallersOwn(functions)
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

    func commit(_ change: MemslotChange) { tell(functions.commit, change) }

    func finish(_ change: MemslotChange) { tell(functions.finish, change) }

    func abort(_ change: MemslotChange) { tell(functions.abort, change) }

    private func tell(
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
    let hook: HookOfC
    let table: OpenTable

    init(_ hook: HookOfC, in table: OpenTable) {
        self.hook = hook
        self.table = table
    }
}

@c @implementation
public func memslots_hook_add(
    _ table: memslots_table, _ functions: UnsafePointer<memslots_hook_functions>?,
    _ hook: UnsafeMutablePointer<memslots_hook>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let read = try SizedStructure.read(functions), let hook else {
            throw .badArgument("functions or hook is NULL")
        }
        return try with(table) { open throws(Problem) in
            // Made first: if there is no handle for it, its context is released all the same.
            let made = HookOfC(read)
            hook.pointee.value = try LibMemslots.open(OpenHook(made, in: open), as: .hook)
            open.table.add(made)
            return ok
        }
    }
}

@c @implementation
public func memslots_hook_remove(_ hook: memslots_hook) -> Int32 {
    answer { () throws(Problem) in
        try with(hook.value, .hook, as: OpenHook.self) { open in
            open.table.table.remove(open.hook)
        }
        return try close(hook.value, .hook)
    }
}
