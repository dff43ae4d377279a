import ArgumentParser
import CLinux
import MemslotPicture
import MemslotProtocol
import Memslots

struct ObserverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "observer", abstract: "Keep vhost-user back ends in step with a VM's memory.",
        subcommands: [
            ObserverAttachCommand.self, ObserverListCommand.self, ObserverDetachCommand.self,
        ])
}

struct ObserverAttachCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Connect to a back end, which the daemon then sends the VM's memory table.")

    @Option(help: "The socket on which the back end listens.", completion: .file())
    var connect: String

    @Option(help: "A memory object that the back end sees; by default it sees all.")
    var memory: [String] = []
    @OptionGroup var target: VMOptions
    @Argument(help: "The observer's name.") var observer: String

    func request() throws -> DaemonRequest {
        let socket = clinux_stream_socket()
        let status = socket < 0 ? socket : clinux_connect(socket, connect)
        guard status >= 0 else {
            let reason = Errno(rawValue: -status).name
            throw ExitCode.failed("\(connect): no back end can be reached there: \(reason)")
        }
        return DaemonRequest(.observerAttach, vm: vm, descriptors: [socket]) { writer in
            writer.member("observer", observer)
            writer.member("fd", 0)
            if !memory.isEmpty { writer.list("filter", memory) { $0.string($1) } }
        }
    }

    func lines(_ result: JSONValue) -> [String] { [ReceiptText.line(about: result)] }
}

struct ObserverListCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the observers of a VM, and what each was sent.")

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest { DaemonRequest(.observerList, vm: vm) }

    func lines(_ result: JSONValue) -> [String] {
        let lines = result.list("observers").map(ReceiptText.line(about:))
        return lines.isEmpty ? ["\(vm) has no observers"] : lines
    }
}

struct ObserverDetachCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "detach", abstract: "End the connection of an observer.")

    @OptionGroup var target: VMOptions
    @Argument(help: "The observer's name.") var observer: String

    func request() -> DaemonRequest {
        DaemonRequest(.observerDetach, vm: vm) { $0.member("observer", observer) }
    }

    func lines(_ result: JSONValue) -> [String] { ["\(observer) is detached"] }
}
