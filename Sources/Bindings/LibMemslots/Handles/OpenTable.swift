import CMemslots
import MemslotKVM
import MemslotSimulator
import Memslots

/// A table that C has opened, with the VM behind it.
final class OpenTable: Sendable {
    enum VM: Sendable {
        case kvm(KVMBackend)
        case simulated(SimulatedBackend)
    }

    let table: MemslotTable
    let vm: VM

    init(_ table: MemslotTable, on vm: VM) {
        self.table = table
        self.vm = vm
    }

    /// The simulated VM, where this is one.
    var simulator: SimulatedBackend {
        get throws(Problem) {
            guard case .simulated(let backend) = vm else {
                throw .notSupported("only a table on the simulator can do that")
            }
            return backend
        }
    }
}

/// Gives a handle for `object`.
func open(_ object: AnyObject, as kind: HandleKind) throws(Problem) -> UInt64 {
    guard let handle = HandleTable.shared.open(object, as: kind) else { throw .tooManyHandles }
    return handle
}

/// Closes a handle.
func close(_ handle: UInt64, _ kind: HandleKind) throws(Problem) -> Int32 {
    guard HandleTable.shared.close(handle, kind) else { throw .badHandle(kind) }
    return ok
}

/// Runs `body` with what a handle names.
func with<Object: AnyObject, R>(
    _ handle: UInt64, _ kind: HandleKind, as type: Object.Type,
    _ body: (Object) throws(Problem) -> R
) throws(Problem) -> R {
    guard let result = try HandleTable.shared.with(handle, kind, as: type, body) else {
        throw .badHandle(kind)
    }
    return result
}

/// Runs `body` with an open table.
func with<R>(
    _ handle: memslots_table, _ body: (OpenTable) throws(Problem) -> R
) throws(Problem) -> R {
    try with(handle.value, .table, as: OpenTable.self, body)
}
