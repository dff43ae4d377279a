internal import MemslotProtocol
internal import Memslots

/// Encodes notifications as lines without their ends.
enum EventLine {
    /// Encodes an event of a table, which is `table` after it. `failure` is the failure before it.
    static func of(
        _ event: TableEvent, failure: TableFailure?, _ table: EventFeed.Published,
        _ names: SlotNames
    ) -> [UInt8] {
        switch event {
        case .committed(let receipt, let previous, _):
            var message = names.message(of: receipt)
            message.previousGeneration = previous
            message.changed = names.messages(of: receipt.diff.changed)
            return line("memslots.committed") { $0.receipt(message) }
        // No reader uses the arrays before this generation, so their memory may be freed.
        case .retired(let generation): return line("memslots.retired", names.vm, generation)
        case .rolledBack(let rollback, let generation):
            return line("memslots.rolledBack", names.vm, generation) {
                $0.members(errno: rollback.errno, operation: rollback.operation)
            }
        case .failed(let failure, let generation):
            return line("memslots.failed", names.vm, generation) {
                $0.members(errno: failure.errno, operation: failure.operation)
                $0.member("undoErrno", failure.undoErrno.name)
                $0.member("installed", true)
                $0.member("slots", names.messages(of: failure.installed))
                $0.member(attributes: table.installedRanges.ranges.map { ($0, nil) })
            }
        case .recovered(let generation):
            // The undo that had failed has succeeded now: the transaction is rolled back.
            return line("memslots.rolledBack", names.vm, generation) {
                $0.members(errno: failure?.errno ?? .ioError, operation: failure?.operation)
            }
        }
    }

    static func created(
        backend: String, _ table: EventFeed.Published, _ names: SlotNames
    ) -> [UInt8] {
        line("vm.created") { writer in
            writer.object {
                $0.member("vm", names.vm)
                $0.member("backend", backend)
                $0.member("generation", table.generation.rawValue)
                $0.member("slots", names.messages(of: table.slots))
            }
        }
    }

    static func destroyed(_ vm: String) -> [UInt8] {
        line("vm.destroyed") { writer in writer.object { $0.member("vm", vm) } }
    }

    private static func line(
        _ method: StaticString, _ vm: String, _ generation: Generation,
        _ more: (inout JSONWriter) -> Void = { _ in }
    ) -> [UInt8] {
        line(method) { writer in
            writer.object {
                $0.member("vm", vm)
                $0.member("generation", generation.rawValue)
                more(&$0)
            }
        }
    }

    private static func line(
        _ method: StaticString, _ params: (inout JSONWriter) -> Void
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.notification(method, params: params)
        return writer.finish()
    }
}

extension JSONWriter {
    fileprivate mutating func members(errno: Errno, operation: Int?) {
        member("errno", errno.name)
        member("operation", operation)
    }
}

extension MemslotDiff {
    /// The added, moved and reflagged slots in the new array, ascending by address space and id.
    fileprivate var changed: [Memslot] {
        (added + moved.map(\.after) + reflagged.map(\.after)).sorted {
            $0.assignedKey < $1.assignedKey
        }
    }
}
