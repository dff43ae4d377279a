public import ArgumentParser
import Glibc
import MemslotPicture
public import MemslotProtocol
import MemslotService
import Memslots

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
    @Flag(help: "With guest-memfd: one memory for the guest and the host.") var shared = false
    @Option(help: .number("A descriptor that this command inherits.")) var fd: Int32?
    @OptionGroup var target: VMOptions
    @Argument(help: "The memory object's name.") var memory: String
    @Argument(help: .hidden) var more: [String] = []

    func validate() throws {
        let words = [vm, memory] + more
        if !more.isEmpty {
            let extra = words.last { Quantity(argument: $0) != nil } ?? words[2]
            let size = Quantity(argument: extra) == nil ? "SIZE" : extra
            let names = words.filter { $0 != extra }.prefix(2).map(shellWord).joined(separator: " ")
            let order = client.daemon.hint
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
                if shared { writer.member("shared", true) }
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

struct MemoryExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Copy a VM's memory to a file, or share it with a command.",
        discussion: """
            A command receives the memory itself as descriptor 3, and shares it with the VM:
              memslotctl memory export web ram -- qemu-tool --fd 3

            --output copies the current bytes to a file; ranges of zeros become holes.
            """)

    @Option(help: "Copy to this file.", completion: .file()) var output: String?
    @OptionGroup var target: VMOptions
    @Argument(help: "The memory object's name.") var memory: String
    @Argument(help: "A command and its arguments, after --.") var command: [String] = []

    /// `SEEK_DATA`, which Swift's Glibc lacks. Source: lseek(2).
    private static let seekData: Int32 = 3
    private static let passed: Int32 = 3

    func validate() throws {
        try require(
            (output != nil) != !command.isEmpty || target.client.json,
            "give either --output FILE, or a command after --")
    }

    func run() throws {
        var connection = try target.client.daemon.connect()
        let exported = try connection.send(
            DaemonRequest(.memoryExport, vm: target.vm) { $0.member("memory", memory) })
        let isPrinted = target.client.printJSON(exported.result)
        if isPrinted && output == nil && command.isEmpty { return }
        guard let descriptor = exported.descriptors.claim(0),
            case .success(let size)? = exported.result["size"]?.quantity
        else { throw ExitCode.failed("the daemon passed no descriptor") }
        if let output {
            try copy(descriptor, size: size, to: output)
            close(descriptor)
        } else {
            try start(with: descriptor)
        }
    }

    private func start(with descriptor: Int32) throws(ExitCode) {
        if descriptor == Self.passed {
            // dup2 would not clear its close-on-exec flag.
            _ = fcntl(descriptor, F_SETFD, 0)
        } else {
            dup2(descriptor, Self.passed)
        }
        let arguments = command.map { strdup($0) } + [nil]
        fflush(nil)
        if let name = arguments.first ?? nil { execvp(name, arguments) }
        throw failed(command[0], "can't be started")
    }

    private func copy(_ descriptor: Int32, size: UInt64, to name: String) throws(ExitCode) {
        let file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failed(name, "can't be written") }
        defer { close(file) }
        guard let end = off_t(exactly: size), ftruncate(file, end) == 0 else {
            throw failed(name, "can't be written")
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        var offset: off_t = 0
        while offset < end {
            // Unwritten pages are skipped: reading would allocate them.
            let data = lseek(descriptor, offset, Self.seekData)
            if data < 0 { break }
            offset = data
            let wanted = min(chunk.count, Int(end - offset))
            if wanted <= 0 { break }
            let count = pread(descriptor, &chunk, wanted, offset)
            guard count > 0 else { throw failed(memory, "can't be read") }
            guard pwrite(file, chunk, count, offset) == count else {
                throw failed(name, "can't be written")
            }
            offset += off_t(count)
        }
        if !target.client.json { Terminal.print("\(memory) is in \(name), \(size) bytes") }
    }

    private func failed(_ name: String, _ what: String) -> ExitCode {
        .failed("\(name): \(what): \(Errno(rawValue: errno).name)")
    }
}
