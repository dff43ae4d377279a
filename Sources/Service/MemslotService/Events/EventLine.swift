internal import MemslotProtocol
internal import Memslots

/// Encodes notifications as lines without their ends.
enum EventLine {
    /// Encodes an event of a table.
    ///
    /// - Parameter failure: the table's failure before the event.
    static func of(_ event: TableEvent, failure: TableFailure?, _ names: SlotNames) -> [UInt8] {
        switch event {
        case .committed(let receipt, let previous, _):
            return line("memslots.committed") { writer in
                var message = names.message(of: receipt)
                message.previousGeneration = previous
                message.changed = names.messages(of: receipt.diff.changed)
                writer.receipt(message)
            }
        case .retired(let generation): return retired(names.vm, generation)
        case .rolledBack(let rollback, let generation):
            return rolledBack(
                names.vm, generation, errno: rollback.errno, operation: rollback.operation)
        case .failed(let failure, let generation):
            return line("memslots.failed") { writer in
                writer.beginObject()
                writer.members(names.vm, generation)
                writer.members(errno: failure.errno, operation: failure.operation)
                writer.key("undoErrno")
                writer.string(failure.undoErrno.name)
                writer.key("installed")
                writer.bool(true)
                writer.key("slots")
                writer.slots(names.messages(of: failure.installed))
                writer.endObject()
            }
        case .recovered(let generation):
            // The undo that had failed has succeeded now: the transaction is rolled back.
            return rolledBack(
                names.vm, generation, errno: failure?.errno ?? .ioError,
                operation: failure?.operation)
        }
    }

    /// Encodes that a VM was created, with its slots.
    static func created(
        backend: String, _ table: EventFeed.Published, _ names: SlotNames
    ) -> [UInt8] {
        line("vm.created") { writer in
            writer.beginObject()
            writer.key("vm")
            writer.string(names.vm)
            writer.key("backend")
            writer.string(backend)
            writer.key("generation")
            writer.integer(table.generation.rawValue)
            writer.key("slots")
            writer.slots(names.messages(of: table.slots))
            writer.endObject()
        }
    }

    /// Encodes that a VM was destroyed.
    static func destroyed(_ vm: String) -> [UInt8] {
        line("vm.destroyed") { writer in
            writer.beginObject()
            writer.key("vm")
            writer.string(vm)
            writer.endObject()
        }
    }

    /// Encodes that no reader uses the arrays before `generation`, so that their memory may be freed.
    static func retired(_ vm: String, _ generation: Generation) -> [UInt8] {
        line("memslots.retired") { writer in
            writer.beginObject()
            writer.members(vm, generation)
            writer.endObject()
        }
    }

    private static func rolledBack(
        _ vm: String, _ generation: Generation, errno: Errno, operation: Int?
    ) -> [UInt8] {
        line("memslots.rolledBack") { writer in
            writer.beginObject()
            writer.members(vm, generation)
            writer.members(errno: errno, operation: operation)
            writer.endObject()
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
    fileprivate mutating func members(_ vm: String, _ generation: Generation) {
        key("vm")
        string(vm)
        key("generation")
        integer(generation.rawValue)
    }

    fileprivate mutating func members(errno: Errno, operation: Int?) {
        key("errno")
        string(errno.name)
        if let operation {
            key("operation")
            integer(operation)
        }
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
