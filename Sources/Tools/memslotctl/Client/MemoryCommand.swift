public import ArgumentParser
internal import MemslotPicture
public import MemslotProtocol

struct MemoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory", abstract: "Make, list and share memory that slots can name.",
        subcommands: [
            MemoryCreateCommand.self, MemoryListCommand.self, MemoryExportCommand.self,
            MemoryDestroyCommand.self,
        ])
}

struct MemoryCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a memory object, or hand one over.",
        discussion: """
            With --fd the daemon takes an open memfd, sealed against shrinking, instead of making \
            one; --size is then how many of its bytes are used.
            """)

    @OptionGroup
    var client: ClientOptions

    @Option(help: "Bytes: 0x…, decimal, or with K, M, G, T.")
    var size: Quantity?

    @Option(help: "memfd, hugetlb or guest-memfd.")
    var backing: MemoryBacking = .memfd

    @Option(help: ArgumentHelp("A descriptor that this command was started with.", valueName: "n"))
    var fd: Int32?

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "The memory's name.")
    var memory: String

    func validate() throws {
        guard size != nil || fd != nil else { throw ValidationError("--size is missing") }
    }

    func run() throws {
        try client.ask(.memoryCreate, vm: vm, descriptors: fd.map { [$0] } ?? []) { writer in
            writer.key("memory")
            writer.string(memory)
            if let size {
                writer.key("size")
                writer.address(size.value)
            }
            if fd == nil {
                writer.key("backing")
                writer.string(backing.rawValue)
            } else {
                writer.key("fd")
                writer.integer(0)
            }
        } tell: {
            print("\(memory) is made: \(MemoryListCommand.size(of: $0))")
        }
    }
}

struct MemoryListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the memory that a VM's slots can name.")

    @OptionGroup
    var client: ClientOptions

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.memoryList, vm: vm, tell: tell)
    }

    private func tell(_ list: JSONValue) {
        var table = TextTable(columns: [
            TextTable.Column("memory"), TextTable.Column("size", .trailing),
            TextTable.Column("page", .trailing),
        ])
        for memory in list["memories"].map({ Array($0.elements) }) ?? [] {
            table.append([
                TextTable.Cell(memory["memory"]?.string ?? ""),
                TextTable.Cell(Self.size(of: memory)),
                TextTable.Cell(Self.size(of: memory, "pageSize")),
            ])
        }
        if table.rows.isEmpty { return print("\(vm) has no memory objects") }
        Terminal.print(table.lines(width: Terminal.width, colour: Terminal.usesColour))
    }

    static func size(of memory: JSONValue, _ member: String = "size") -> String {
        guard case .success(let bytes)? = memory[member]?.quantity else { return "?" }
        return "\(HumanSize(bytes: bytes))"
    }
}

struct MemoryDestroyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Give memory back that no slot names.")

    @OptionGroup
    var client: ClientOptions

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "The memory's name.")
    var memory: String

    func run() throws {
        try client.ask(.memoryDestroy, vm: vm) { writer in
            writer.key("memory")
            writer.string(memory)
        } tell: { _ in
            print("\(memory) is gone")
        }
    }
}

extension MemoryBacking: ExpressibleByArgument {}
