// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import MemslotKVM
import MemslotSimulator
import Memslots

@c @implementation
public func memslots_open_simulator(
    _ options: UnsafePointer<memslots_simulator_options>?,
    _ table: UnsafeMutablePointer<memslots_table>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let table else { throw .badArgument("table is NULL") }
        var configuration = SimulatorConfiguration()
        if let options = try SizedStructure.read(options) {
            if options.max_slots != 0 { configuration.maxSlots = options.max_slots }
            if options.address_spaces != 0 { configuration.addressSpaces = options.address_spaces }
            if options.guest_physical_bits != 0 {
                configuration.guestPhysicalBits = options.guest_physical_bits
            }
            if options.flags != 0 {
                configuration.flags = MemslotFlags(rawValue: options.flags)
            }
        }
        let backend: SimulatedBackend
        do throws(SimulatorConfigurationError) {
            backend = try SimulatedBackend(configuration: configuration)
        } catch {
            throw .badArgument(error.sentence)
        }
        table.pointee = try openTable(on: backend, installed: [], as: .simulated(backend))
        return ok
    }
}

@c @implementation
public func memslots_open_kvm(
    _ descriptor: Int32, _ options: UnsafePointer<memslots_kvm_options>?,
    _ table: UnsafeMutablePointer<memslots_table>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let table else { throw .badArgument("table is NULL") }
        let options = try SizedStructure.read(options) ?? memslots_kvm_options()
        let installed = try slots(options.installed, options.installed_count)
        let mode = KVMOptions(
            dirtyLog: try DirtyLogMode(options), keepsOtherMappings: options.keeps_other_mappings)
        let backend: KVMBackend
        do throws(KVMError) {
            backend = try KVMBackend(
                adopting: VirtualMachine(adopting: descriptor, system: KVMSystem()),
                installed: installed, options: mode)
        } catch {
            throw .kvm(error)
        }
        table.pointee = try openTable(on: backend, installed: installed, as: .kvm(backend))
        return ok
    }
}

private func openTable(
    on backend: any MemslotBackend, installed: [Memslot], as vm: OpenTable.VM
) throws(Problem) -> memslots_table {
    let table: MemslotTable
    do throws(InvalidArray) {
        table = try MemslotTable(backend: backend, installed: installed)
    } catch {
        throw .submit(.invalid(error))
    }
    return memslots_table(value: try open(OpenTable(table, on: vm), as: .table))
}

@c @implementation
public func memslots_close(_ table: memslots_table) -> Int32 {
    answer { () throws(Problem) in try close(table.value, .table) }
}

@c @implementation
public func memslots_get_capabilities(
    _ table: memslots_table, _ capabilities: UnsafeMutablePointer<memslots_capabilities>?
) -> Int32 {
    answer { () throws(Problem) in
        guard let capabilities else { throw .badArgument("capabilities is NULL") }
        try SizedStructure.check(capabilities)
        return try with(table) { open in
            let allowed = open.table.capabilities
            capabilities.pointee.max_slots = allowed.maxSlots
            capabilities.pointee.address_spaces = allowed.addressSpaces
            capabilities.pointee.max_guest_page = allowed.maxGuestPage
            capabilities.pointee.max_pages_per_slot = allowed.maxPagesPerSlot
            capabilities.pointee.flags = allowed.flags.rawValue
            return ok
        }
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
        case .flags: "flags has a bit that no slot can have"
        }
    }
}
