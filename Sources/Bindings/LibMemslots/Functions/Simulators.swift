// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import MemslotSimulator
import Memslots

@c @implementation
public func memslots_simulator_touch(
    _ table: memslots_table, _ addressSpace: UInt32, _ address: UInt64, _ size: UInt64
) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            let simulator = try open.simulator
            do throws(TouchError) {
                try simulator.touch(
                    GuestPhysicalAddress(address), size: ByteCount(size),
                    in: AddressSpaceID(addressSpace))
            } catch {
                throw .touch(error)
            }
            return ok
        }
    }
}

@c @implementation
public func memslots_simulator_fail(
    _ table: memslots_table, _ operation: UInt32, _ errno: Int32, _ times: UInt32
) -> Int32 {
    answer { () throws(Problem) in
        guard (1...4_095).contains(errno) else { throw .badArgument("kernel_errno is no errno") }
        return try with(table) { open throws(Problem) in
            try open.simulator.inject(
                FaultInjection(
                    operation: Int(operation), errno: Errno(rawValue: errno), times: Int(times)))
            return ok
        }
    }
}

@c @implementation
public func memslots_simulator_clear_faults(_ table: memslots_table) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            try open.simulator.clearFaults()
            return ok
        }
    }
}

@c @implementation
public func memslots_simulator_installed(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    answer { () throws(Problem) in
        try with(table) { open throws(Problem) in
            try fill(
                list, capacity, count, from: open.simulator.installedSlots, memslots_slot.init)
        }
    }
}
