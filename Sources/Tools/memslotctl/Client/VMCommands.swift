import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService

struct CreateCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Create a VM without slots in a daemon.")

    @Option(help: "simulated, kvm, or auto: KVM if it opens.") var backend: BackendChoice = .auto
    @Option(help: .number("The number of slots of a simulated VM.")) var maxSlots: UInt64?

    @Option(help: .number("The number of address spaces of a simulated VM."))
    var addressSpaces: UInt64?

    @OptionGroup var host: HostOptions
    @OptionGroup var target: VMOptions

    func validate() throws {
        try require(
            backend == .simulated || !describesVM,
            "--max-slots, --address-spaces and options of the host need --backend simulated; "
                + "of a KVM VM the kernel decides them")
    }

    private var describesVM: Bool { maxSlots != nil || addressSpaces != nil || host.areGiven }

    func request() -> DaemonRequest {
        DaemonRequest(.vmCreate, vm: vm) { writer in
            writer.member("backend", backend.rawValue)
            guard describesVM else { return }
            writer.object("simulated") { writer in
                writer.member("maxSlots", maxSlots)
                writer.member("addressSpaces", addressSpaces)
                for (name, value) in host.members {
                    writer.key(named: name)
                    writer.string(value)
                }
            }
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        let slots = result["capabilities"]?["maxSlots"]?.rawText ?? "?"
        return ["\(vm) is created, \(result["backend"]?.string ?? ""), at most \(slots) slots"]
    }
}

struct ListCommand: RequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List your VMs in a daemon.")

    @OptionGroup var client: ClientOptions

    func request() -> DaemonRequest { DaemonRequest(.vmList) }

    func lines(_ result: JSONValue) -> [String] {
        Self.lines(result, client.daemon.hint)
    }

    static func lines(_ result: JSONValue, _ hint: Hint) -> [String] {
        let vms = result.list("vms")
        if vms.isEmpty { return ["No VMs. Create one with: \(hint.command("create NAME"))"] }
        var table = TextTable(columns: [
            "VM", "backend", .numbers("generation"), .numbers("slots"), "state",
        ])
        for vm in vms {
            let state = vm["state"]?.string ?? ""
            table.append([
                TextTable.Cell(vm["vm"]?.string ?? ""), "\(vm["backend"]?.string ?? "")",
                "\(vm["generation"]?.uint64 ?? 0)", "\(vm["slots"]?.uint64 ?? 0)",
                TextTable.Cell(state, ink: state == "failed" ? .red : .plain),
            ])
        }
        return Terminal.lines(table)
    }
}

struct DestroyCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Destroy a VM of a daemon.")

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest { DaemonRequest(.vmDestroy, vm: vm) }
    func lines(_ result: JSONValue) -> [String] { ["\(vm) is destroyed"] }
}

struct RecoverCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Retry the undo of a failed VM.",
        discussion: """
            A VM has failed if a transaction failed midway and its undo failed too. Its vCPUs are \
            held until the undo succeeds.
            """)

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest { DaemonRequest(.vmRecover, vm: vm) }

    func lines(_ result: JSONValue) -> [String] {
        ["\(vm) is ready, at generation \(result["generation"]?.uint64 ?? 0)"]
    }
}

struct AtomicCommand: RequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "atomic", abstract: "Switch --atomic of a run off and on.",
        discussion: """
            On the socket of memslotctl run --atomic --socket, by the user who started it. While it \
            is off, the VMM's calls are made one by one beside the guest, as without it.
            """)

    enum State: String, ExpressibleByArgument, CaseIterable { case on, off }

    @Argument var state: State
    @OptionGroup var client: ClientOptions

    func request() -> DaemonRequest {
        DaemonRequest(.runSetAtomic) { $0.member("atomic", state == .on) }
    }

    func lines(_ result: JSONValue) -> [String] {
        let how = result["atomic"]?.bool == true ? "atomic" : "made one by one"
        return ["from the next transaction on, changes are \(how)"]
    }
}

extension Quantity: ExpressibleByArgument {}
