public import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotSimulator
public import Memslots

/// The rules of arrays without a VM: of the one that a file describes, replaced by the options.
struct OfflineRules: ParsableArguments {
    @Option(help: .number("The slots of an address space.")) var maxSlots: UInt32?
    @Option(help: .number("The bits of a guest physical address.")) var guestBits: UInt32?
    @Option(help: .number("The number of address spaces.")) var addressSpaces: UInt32?
    @OptionGroup var host: HostOptions

    func validate() throws { _ = try rules(for: [], flags: nil) }

    private var areGiven: Bool {
        maxSlots != nil || guestBits != nil || addressSpaces != nil || host.areGiven
    }

    /// The rules for the arrays of `files`, of the first that describes a VM; `flags` by commas.
    func rules(for files: [ArrayFile], flags: String?) throws -> UsedRules {
        let names = flags.map { $0.split(separator: ",").map(String.init) } ?? []
        try require(
            names.allSatisfy { $0 == "none" || MemslotFlags.named($0) != nil },
            "flags of a VM are log-dirty-pages, readonly, guest-memfd, or none")
        let areGiven = areGiven || flags != nil
        let source = files.first { $0.machine != nil }
        let limits = try converting(
            { (error: SimulatorConfigurationError) in ValidationError(error.message) },
            capabilities(of: source?.machine, names))
        return UsedRules(
            limits: limits,
            source: source.map { "the VM in \($0.name)" + (areGiven ? " and the options" : "") }
                ?? (areGiven ? "the options, else any host" : "any host"))
    }

    private func capabilities(
        of machine: SimulatedParameters?, _ flags: [String]
    ) throws(SimulatorConfigurationError) -> Capabilities {
        let profile = host.profile ?? machine?.profile
        var configuration = SimulatorConfiguration(
            profile: profile, kernel: host.kernel ?? machine?.kernel)
        if let size = host.pageSize?.value ?? (profile == nil ? machine?.pageSize.rawValue : nil) {
            configuration.pageSize = ByteCount(size)
        }
        if host.profile != nil {
            configuration.flags = host.profile?.flags(configuration.kernel) ?? configuration.flags
        } else if let machine {
            configuration.maxSlots = machine.maxSlots
            configuration.addressSpaces = machine.addressSpaces
            configuration.guestPhysicalBits = machine.guestPhysicalBits
            configuration.userspaceEnd = machine.userspaceEnd
            configuration.flags = machine.flags
        } else {
            // What any host accepts.
            configuration.addressSpaces = 2
            configuration.userspaceEnd = UserspaceAddress(0xff_ffff_ffff_f000)
            configuration.flags = HostProfile.x86.flags(configuration.kernel)
        }
        configuration.maxSlots = maxSlots ?? configuration.maxSlots
        configuration.guestPhysicalBits = guestBits ?? configuration.guestPhysicalBits
        configuration.addressSpaces = addressSpaces ?? configuration.addressSpaces
        if !flags.isEmpty {
            configuration.flags = flags.reduce([]) { $0.union(MemslotFlags.named($1) ?? []) }
        }
        var limits = try configuration.capabilities()
        if machine == nil || limits.flags.contains(.guestMemfd) { limits.providesGuestMemfd = true }
        return limits
    }
}

struct HostOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The kind of host: its pages, slots, address bits, user space and flags. "
                + "The other options replace what it gives."))
    var profile: HostProfile?

    @Option(help: ArgumentHelp("The host's page size, without a profile.", valueName: "bytes"))
    var pageSize: Quantity?

    @Option(help: ArgumentHelp("The host's version of Linux, such as 6.18.", valueName: "version"))
    var kernel: KernelVersion?

    var areGiven: Bool { profile != nil || pageSize != nil || kernel != nil }

    var members: [(name: String, value: String)] {
        let all = [
            ("profile", profile?.rawValue), ("pageSize", pageSize.map { hex($0.value) }),
            ("kernel", kernel?.description),
        ]
        return all.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension HostProfile: ExpressibleByArgument {}

extension KernelVersion: ExpressibleByArgument {
    /// As ``init(_:)``.
    public init?(argument: String) { self.init(argument) }
}

extension MemslotFlags {
    /// The flag with this name on the wire; `nil` if there is none.
    static func named(_ name: String) -> MemslotFlags? { wireNames.first { $0.name == name }?.flag }
}

struct UsedRules {
    var limits: Capabilities
    var source: String

    /// `rules of any host: 32764 slots, …`.
    var description: String {
        let flags = limits.flags.names.joined(separator: " ")
        return "rules of \(source): \(limits.maxSlots) slots, "
            + "\(counted(Int(limits.addressSpaces), "address space")), \(limits.guestPhysicalBits) guest bits"
            + (limits.pageSize == .page ? "" : ", pages of \(limits.pageSize.rawValue) bytes")
            + (limits.slotGranule == limits.pageSize
                ? "" : ", slots of whole \(limits.slotGranule.rawValue) bytes")
            + ", flags: \(flags.isEmpty ? "none" : flags)"
    }
}
