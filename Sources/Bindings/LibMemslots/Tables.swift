// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import MemslotKVM
import MemslotSimulator
import Memslots

/// A table that the caller has opened, with the VM behind it.
final class OpenTable: Sendable {
    enum VM: Sendable {
        case kvm(KVMBackend)
        case simulated(SimulatedBackend)
    }

    let table: MemslotTable
    let vm: VM

    init(_ table: MemslotTable, on vm: VM) { (self.table, self.vm) = (table, vm) }

    var simulator: SimulatedBackend {
        get throws(Problem) {
            guard case .simulated(let backend) = vm else {
                throw .notSupported("only a table on the simulator supports this")
            }
            return backend
        }
    }
}

@c @implementation public func memslots_open_simulator(
    _ options: UnsafePointer<memslots_simulator_options>?,
    _ table: UnsafeMutablePointer<memslots_table>?
) -> Int32 {
    returnCode { () throws(Problem) in
        guard let table else { throw .badArgument("table is NULL") }
        var configuration = SimulatorConfiguration()
        if let options = try SizedStructure.read(options) {
            if options.max_slots != 0 { configuration.maxSlots = options.max_slots }
            if options.address_spaces != 0 { configuration.addressSpaces = options.address_spaces }
            if options.guest_physical_bits != 0 {
                configuration.guestPhysicalBits = options.guest_physical_bits
            }
            if options.flags != 0 { configuration.flags = MemslotFlags(rawValue: options.flags) }
        }
        let backend = try converting(
            { (error: SimulatorConfigurationError) in Problem.badArgument(error.sentence) },
            SimulatedBackend(configuration: configuration))
        table.pointee = try openTable(on: backend, as: .simulated(backend))
    }
}

@c @implementation public func memslots_open_kvm(
    _ descriptor: Int32, _ options: UnsafePointer<memslots_kvm_options>?,
    _ table: UnsafeMutablePointer<memslots_table>?
) -> Int32 {
    returnCode { () throws(Problem) in
        guard let table else { throw .badArgument("table is NULL") }
        let options =
            try SizedStructure.read(options, before: \.private_range_count)
            ?? memslots_kvm_options()
        let installed = try slots(options.installed, options.installed_count)
        let ranges = try guestRanges(options.private_ranges, options.private_range_count)
        let mode = KVMOptions(
            dirtyLog: try DirtyLogMode(options), keepsOtherMappings: options.keeps_other_mappings)
        let backend = try converting(
            Problem.kvm,
            KVMBackend(
                adopting: VirtualMachine(adopting: descriptor, system: KVMSystem()),
                installed: installed, options: mode))
        table.pointee = try openTable(
            on: backend, installed: installed, privateRanges: ranges, as: .kvm(backend))
    }
}

private func openTable(
    on backend: any MemslotBackend, installed: [Memslot] = [], privateRanges: [GuestRange] = [],
    as vm: OpenTable.VM
) throws(Problem) -> memslots_table {
    let table = try converting(
        { Problem.submit(.invalid($0)) },
        MemslotTable(backend: backend, installed: installed, privateRanges: privateRanges))
    // What a callback throws in C++ or Rust goes to its thread.
    table.keepSubmitsOnTheirThreads()
    return memslots_table(value: try HandleTable.shared.open(OpenTable(table, on: vm), as: .table))
}

@c @implementation public func memslots_close(_ table: memslots_table) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.close(table.value, .table) }
}

@c @implementation public func memslots_get_capabilities(
    _ table: memslots_table, _ capabilities: UnsafeMutablePointer<memslots_capabilities>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard let capabilities else { throw .badArgument("capabilities is NULL") }
        try SizedStructure.check(capabilities)
        let limits = open.table.capabilities
        capabilities.pointee.max_slots = limits.maxSlots
        capabilities.pointee.address_spaces = limits.addressSpaces
        capabilities.pointee.max_guest_page = limits.maxGuestPage
        capabilities.pointee.max_pages_per_slot = limits.maxPagesPerSlot
        capabilities.pointee.flags = limits.flags.rawValue
        capabilities.pointee.memory_attributes = limits.memoryAttributes
    }
}

extension DirtyLogMode {
    fileprivate init(_ options: memslots_kvm_options) throws(Problem) {
        switch Int(options.dirty_log) {
        case MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING: self = .clearedByReading
        case MEMSLOTS_DIRTY_LOG_MANUAL: self = .manual
        case MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET: self = .manualInitiallySet
        case MEMSLOTS_DIRTY_LOG_RING: self = .ring(bytes: options.dirty_ring_bytes)
        default: throw .badArgument("dirty_log is none of MEMSLOTS_DIRTY_LOG_*")
        }
    }
}

extension SimulatorConfigurationError {
    fileprivate var sentence: StaticString {
        switch self {
        case .maxSlots: "max_slots is not 1 to 1,048,576"
        case .addressSpaces: "address_spaces is not 1 to 65,536"
        case .guestPhysicalBits: "guest_physical_bits is not 12 to 64"
        case .userspaceEnd: "the end of user space is not a multiple of 4096"
        case .flags: "flags contains a flag that no slot can have"
        case .pageSize: "the page is not a power of two from 4096 to 1,048,576"
        }
    }
}

@c @implementation public func memslots_simulator_touch(
    _ table: memslots_table, _ addressSpace: UInt32, _ address: UInt64, _ size: UInt64
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        let simulator = try open.simulator
        try converting(
            Problem.touch,
            simulator.touch(
                GuestPhysicalAddress(address), size: ByteCount(size),
                in: AddressSpaceID(addressSpace)))
    }
}

@c @implementation public func memslots_simulator_fail(
    _ table: memslots_table, _ operation: UInt32, _ errno: Int32, _ times: UInt32
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        guard (1...4_095).contains(errno) else {
            throw .badArgument("kernel_errno is not an errno")
        }
        guard times > 0 else { throw .badArgument("times is 0") }
        try open.simulator.inject(
            FaultInjection(
                operation: Int(operation), errno: Errno(rawValue: errno), times: Int(times)))
    }
}

@c @implementation public func memslots_simulator_clear_faults(_ table: memslots_table) -> Int32 {
    returnCode(table) { open throws(Problem) in try open.simulator.clearFaults() }
}

@c @implementation public func memslots_simulator_installed(
    _ table: memslots_table, _ list: UnsafeMutablePointer<memslots_slot>?, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    returnCode(table) { open throws(Problem) in
        try fill(list, capacity, count, from: open.simulator.installedSlots, memslots_slot.init)
    }
}
