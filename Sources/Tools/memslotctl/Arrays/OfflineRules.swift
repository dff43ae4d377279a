import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotSimulator
import Memslots

/// The rules by which a command without a VM validates arrays: those of the VM that a file
/// describes, or of the options. Each option replaces one of them.
struct OfflineRules: ParsableArguments {
    @Option(help: ArgumentHelp("The slots of an address space.", valueName: "n"))
    var maxSlots: UInt32?

    @Option(help: ArgumentHelp("The bits of a guest physical address.", valueName: "n"))
    var guestBits: UInt32?

    @Option(help: ArgumentHelp("The number of address spaces.", valueName: "n"))
    var addressSpaces: UInt32?

    @Option(help: ArgumentHelp("The host's page size.", valueName: "bytes"))
    var pageSize: Quantity?

    func validate() throws {
        do throws(SimulatorConfigurationError) { _ = try capabilities(of: nil, []).limits } catch {
            throw ValidationError(error.message)
        }
        guard let size = pageSize?.value else { return }
        guard size.nonzeroBitCount == 1, (4096...65_536).contains(size) else {
            throw ValidationError("--page-size: a power of two from 4096 to 65536")
        }
    }

    private var areGiven: Bool {
        maxSlots != nil || guestBits != nil || addressSpaces != nil || pageSize != nil
    }

    /// The rules for the arrays of `files`: of the first that describes a VM.
    ///
    /// - Parameter flags: the flags of the VM, joined by commas; `nil` if they are not given.
    func rules(
        for files: [(name: String, file: ArrayFile)], flags: String?
    ) throws -> UsedRules {
        let names = flags.map { $0.split(separator: ",").map(String.init) } ?? []
        guard names.allSatisfy({ $0 == "none" || MemslotFlags(wireName: $0) != nil }) else {
            throw ValidationError(
                "flags of a VM are log-dirty-pages, readonly, guest-memfd, or none")
        }
        let areGiven = areGiven || flags != nil
        let source = files.first { $0.file.machine != nil }
        do throws(SimulatorConfigurationError) {
            var used = try capabilities(of: source?.file.machine, names)
            used.pageSize = pageSize?.value ?? 4096
            used.source =
                source.map { "the VM in \($0.name)" + (areGiven ? " and the options" : "") }
                ?? (areGiven ? "the options, else any host" : "any host")
            return used
        } catch {
            throw ValidationError(error.message)
        }
    }

    private func capabilities(
        of machine: SimulatedParameters?, _ flags: [String]
    ) throws(SimulatorConfigurationError) -> UsedRules {
        var configuration = SimulatorConfiguration()
        if let machine {
            configuration.maxSlots = machine.maxSlots
            configuration.addressSpaces = machine.addressSpaces
            configuration.guestPhysicalBits = machine.guestPhysicalBits
            configuration.userspaceEnd = machine.userspaceEnd
            configuration.flags = machine.flags
        } else {
            // What any host accepts.
            configuration.addressSpaces = 2
            configuration.userspaceEnd = UserspaceAddress(0xff_ffff_ffff_f000)
            configuration.flags = [.logDirtyPages, .readOnly, .guestMemfd]
        }
        configuration.maxSlots = maxSlots ?? configuration.maxSlots
        configuration.guestPhysicalBits = guestBits ?? configuration.guestPhysicalBits
        configuration.addressSpaces = addressSpaces ?? configuration.addressSpaces
        if !flags.isEmpty {
            configuration.flags = flags.reduce([]) { $0.union(MemslotFlags(wireName: $1) ?? []) }
        }
        var limits = try configuration.capabilities()
        if machine == nil || limits.flags.contains(.guestMemfd) { limits.providesGuestMemfd = true }
        return UsedRules(limits: limits)
    }
}

extension MemslotFlags {
    /// The flag with this name on the wire; `nil` if there is none.
    init?(wireName: String) {
        guard let known = Self.wireNames.first(where: { $0.name == wireName }) else { return nil }
        self = known.flag
    }
}

/// The rules that a command used, and where they come from.
struct UsedRules {
    var limits: Capabilities
    var pageSize: UInt64 = 4096
    var source = ""

    /// `rules of any host: 32764 slots, …`.
    var description: String {
        let flags = limits.flags.names.joined(separator: " ")
        return "rules of \(source): \(limits.maxSlots) slots, "
            + "\(counted(Int(limits.addressSpaces), "address space")), \(limits.guestPhysicalBits) guest bits"
            + (pageSize == 4096 ? "" : ", pages of \(pageSize) bytes")
            + ", flags: \(flags.isEmpty ? "none" : flags)"
    }

    /// The faults of slots on a host with larger pages.
    func pageFaults(of slots: [Memslot]) -> [Violation] {
        guard pageSize > 4096 else { return [] }
        return slots.enumerated().flatMap { index, slot in
            let values: [(ViolationKind, String, UInt64)] = [
                (.misalignedAddress, "guestPhysicalAddress", slot.guestPhysicalAddress.rawValue),
                (.misalignedSize, "size", slot.size.rawValue),
                (.badUserspaceAddress, "userspaceAddress", slot.userspaceAddress.rawValue),
            ]
            return values.filter { $0.2 % pageSize != 0 && $0.2 % 4096 == 0 }.map {
                Violation(
                    $0.0, of: slot, at: index, member: $0.1,
                    detail: "\($0.1) \(hex($0.2)) is not a multiple of \(pageSize), the page size")
            }
        }
    }
}
