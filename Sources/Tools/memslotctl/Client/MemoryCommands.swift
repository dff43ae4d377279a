public import ArgumentParser
import MemslotPicture
public import MemslotProtocol

struct MemoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory", abstract: "Create, list and share memory objects of a VM.",
        subcommands: [
            MemoryCreateCommand.self, MemoryListCommand.self, MemoryExportCommand.self,
            MemoryDestroyCommand.self,
        ])
}

struct MemoryCreateCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Create a memory object, or pass one to the daemon.",
        discussion: """
            With --fd the daemon adopts an open memfd, sealed against shrinking, instead of \
            creating one; --size is then the number of its bytes to use.
            """)

    @Option(help: "Bytes: 0x…, decimal, or with K, M, G, T.") var size: Quantity?
    @Option(help: "memfd, hugetlb or guest-memfd.") var backing: MemoryBacking = .memfd

    @Option(help: ArgumentHelp("A descriptor that this command inherits.", valueName: "n"))
    var fd: Int32?

    @OptionGroup var target: VMOptions
    @Argument(help: "The memory object's name.") var memory: String
    @Argument(help: .hidden) var more: [String] = []

    func validate() throws {
        let words = [vm, memory] + more
        if !more.isEmpty {
            let extra = words.last { Quantity(argument: $0) != nil } ?? words[2]
            let size = Quantity(argument: extra) == nil ? "SIZE" : extra
            let names = words.filter { $0 != extra }.prefix(2).map(shellWord).joined(separator: " ")
            let order = Hint(socket: client.daemon.socket)
                .command("memory create \(names) --size \(size)")
            throw ValidationError(
                "'\(Terminal.safe(extra))' is misplaced; the right order: \(order)")
        }
        try require(size != nil || fd != nil, "--size is missing")
    }

    func request() -> DaemonRequest {
        DaemonRequest(.memoryCreate, vm: vm, descriptors: fd.map { [$0] } ?? []) { writer in
            writer.member("memory", memory)
            writer.member("size", address: size?.value)
            if fd == nil {
                writer.member("backing", backing.rawValue)
            } else {
                writer.member("fd", 0)
            }
        }
    }

    func lines(_ result: JSONValue) -> [String] { ["\(memory) is created: \(result.size())"] }
}

struct MemoryListCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the memory objects of a VM.")

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest { DaemonRequest(.memoryList, vm: vm) }

    func lines(_ result: JSONValue) -> [String] {
        var table = TextTable(columns: ["memory", .numbers("size"), .numbers("page")])
        for memory in result.list("memories") {
            table.append([
                TextTable.Cell(memory["memory"]?.string ?? ""), "\(memory.size())",
                "\(memory.size("pageSize"))",
            ])
        }
        return table.rows.isEmpty ? ["\(vm) has no memory objects"] : Terminal.lines(table)
    }
}

struct MemoryDestroyCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Destroy a memory object that no slot uses.")

    @OptionGroup var target: VMOptions
    @Argument(help: "The memory object's name.") var memory: String

    func request() -> DaemonRequest {
        DaemonRequest(.memoryDestroy, vm: vm) { $0.member("memory", memory) }
    }

    func lines(_ result: JSONValue) -> [String] { ["\(memory) is destroyed"] }
}

extension MemoryBacking: ExpressibleByArgument {}
