// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import Memslots

/// A kick of C's, which is not called any more once the call that lent it has returned.
private final class LentKick: Sendable {
    typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Void

    private let kick: Locked<Function?>
    private let context: CallersOwn<UnsafeMutableRawPointer?>

    init(_ kick: Function?, _ context: UnsafeMutableRawPointer?) {
        self.kick = Locked(kick)
        self.context = CallersOwn(context)
    }

    func send() { kick.withLock { $0?(context.value) } }

    func giveBack() { kick.withLock { $0 = nil } }
}

@c @implementation
public func memslots_guarded(
    _ table: memslots_table, _ name: UnsafePointer<CChar>?,
    _ body: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ kick: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    answer { () throws(Problem) in
        guard let body else { throw .badArgument("body is NULL") }
        return try with(table) { open throws(Problem) in
            guard let gate = open.table.vcpuGate else {
                throw .notSupported("the table holds vCPUs out in another way")
            }
            let lent = LentKick(kick, context)
            defer { lent.giveBack() }
            let entry = gate.register(name: string(name) ?? "guarded") { lent.send() }
            do throws(ReentryError) { try entry.run { body(context) } } catch {
                throw .reentrant(error)
            }
            return ok
        }
    }
}
