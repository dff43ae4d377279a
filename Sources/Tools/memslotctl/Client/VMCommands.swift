import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService

struct CreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a VM without slots in a daemon.")

    @OptionGroup
    var client: ClientOptions

    @Option(help: "simulated, kvm, or auto: KVM where it opens.")
    var backend: BackendChoice = .auto

    @Option(help: ArgumentHelp("Slots of a simulated VM.", valueName: "n"))
    var maxSlots: UInt64?

    @Option(help: ArgumentHelp("Address spaces of a simulated VM.", valueName: "n"))
    var addressSpaces: UInt64?

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.vmCreate, vm: vm) { writer in
            writer.key("backend")
            writer.string(backend.rawValue)
            guard maxSlots != nil || addressSpaces != nil else { return }
            writer.key("simulated")
            writer.beginObject()
            writer.optional("maxSlots", maxSlots)
            writer.optional("addressSpaces", addressSpaces)
            writer.endObject()
        } tell: { made in
            let most = made["capabilities"]?["maxSlots"]?.rawText ?? "?"
            print("\(vm) is made, \(made["backend"]?.string ?? ""), at most \(most) slots")
        }
    }
}

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List your VMs in a daemon.")

    @OptionGroup
    var client: ClientOptions

    func run() throws {
        try client.ask(.vmList) { Terminal.print(Self.lines($0)) }
    }

    static func lines(_ result: JSONValue) -> [String] {
        let vms = result["vms"].map { Array($0.elements) } ?? []
        if vms.isEmpty { return ["No VMs. Make one with: memslotctl create NAME"] }
        var table = TextTable(columns: [
            TextTable.Column("VM"), TextTable.Column("backend"),
            TextTable.Column("generation", .trailing), TextTable.Column("slots", .trailing),
            TextTable.Column("state"),
        ])
        for vm in vms {
            let state = vm["state"]?.string ?? ""
            table.append([
                TextTable.Cell(vm["vm"]?.string ?? ""), "\(vm["backend"]?.string ?? "")",
                "\(vm["generation"]?.uint64 ?? 0)", "\(vm["slots"]?.uint64 ?? 0)",
                TextTable.Cell(state, ink: state == "failed" ? .red : .plain),
            ])
        }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour)
    }
}

struct DestroyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "End a VM of a daemon.")

    @OptionGroup
    var client: ClientOptions

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.vmDestroy, vm: vm) { _ in print("\(vm) is gone") }
    }
}

struct RecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Try the undo of a failed VM again.",
        discussion: """
            A VM is failed where a transaction failed midway and its undo failed too. Its vCPUs \
            are held out of the guest until the undo succeeds.
            """)

    @OptionGroup
    var client: ClientOptions

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.vmRecover, vm: vm) {
            print("\(vm) is ready, at generation \($0["generation"]?.uint64 ?? 0)")
        }
    }
}

extension JSONWriter {
    /// Writes a member where there is a value for it.
    mutating func optional(_ name: StaticString, _ value: UInt64?) {
        guard let value else { return }
        key(name)
        integer(value)
    }
}

/// An address or a size on the command line: `4K`, `2M`, `1G`, `1T`, `0x…` or decimal.
struct Quantity: ExpressibleByArgument {
    let value: UInt64

    init?(argument: String) {
        let text = argument.lowercased()
        if text.hasPrefix("0x") {
            let digits = text.dropFirst(2)
            guard digits.allSatisfy(\.isHexDigit), let value = UInt64(digits, radix: 16) else {
                return nil
            }
            self.value = value
            return
        }
        let digits = text.prefix { "0"..."9" ~= $0 }
        guard let number = UInt64(digits), let shift = Self.shifts[String(text[digits.endIndex...])]
        else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.value = value
    }

    /// Binary units, as the kernel's own options have them.
    private static let shifts: [String: UInt64] = [
        "": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
    ]
}
