import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotService
import Memslots

struct MemoryExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Copy a VM's memory to a file, or share it with a command.",
        discussion: """
            A command gets the memory itself as descriptor 3, and shares it with the VM:
              memslotctl memory export web ram -- qemu-tool --fd 3

            With --output its bytes, as they are now, go to a file; stretches of zeros become holes.
            """)

    @OptionGroup
    var client: ClientOptions

    @Option(help: "Copy to this file.", completion: .file())
    var output: String?

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "The memory's name.")
    var memory: String

    @Argument(help: "A command and its arguments, after --.")
    var command: [String] = []

    /// `SEEK_DATA`, which Swift's Glibc leaves out. Source: lseek(2).
    private static let seekData: Int32 = 3

    /// The descriptor that a command finds the memory at.
    private static let passed: Int32 = 3

    func validate() throws {
        guard (output != nil) != !command.isEmpty || client.json else {
            throw ValidationError("give either --output FILE, or a command after --")
        }
    }

    func run() throws {
        var connection = try client.daemon.connect()
        let exported = try connection.ask(.memoryExport, vm: vm) { writer in
            writer.key("memory")
            writer.string(memory)
        }
        if client.print(exported) && output == nil && command.isEmpty { return }
        guard let descriptor = exported.descriptors.claim(0),
            case .success(let size)? = exported.result["size"]?.quantity
        else {
            Terminal.complain("the daemon passed no descriptor")
            throw ExitCode.failure
        }
        if let output {
            try copy(descriptor, size: size, to: output)
            close(descriptor)
        } else {
            try start(with: descriptor)
        }
    }

    /// Becomes the command.
    private func start(with descriptor: Int32) throws(ExitCode) {
        if descriptor == Self.passed {
            // Not duplicated, so it would still be closed on exec.
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
            // Pages that nobody wrote are skipped, so that they aren't made by reading.
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
        if !client.json { print("\(memory) is in \(name), \(size) bytes") }
    }

    private func failed(_ name: String, _ what: String) -> ExitCode {
        Terminal.complain("\(name): \(what): \(Errno(rawValue: errno).name)")
        return .failure
    }
}
