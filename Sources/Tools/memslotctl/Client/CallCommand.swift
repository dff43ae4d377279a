import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario

struct CallCommand: RequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Call any method, and print its result as JSON.",
        discussion: """
            For example, which writes to the guest memory of a simulated VM:
              memslotctl create --backend simulated web
              memslotctl memory create --size 1M web ram
              echo '[{"guestPhysicalAddress": 0, "size": "0x100000", "memory": "ram"}]' | memslotctl submit web -
              memslotctl call guest.touch '{"vm": "web", "guestPhysicalAddress": 0, "size": 1}'

            On a terminal the result is indented; elsewhere, and with --json, it is one line. It \
            passes no descriptors, and prints no events: see memory and watch.
            """)

    @Argument(help: "The method.", completion: .list(Method.allCases.map(\.rawValue)))
    var method: String

    @Argument(help: "The value of \"params\", JSON; - is standard input.") var params: String?
    @OptionGroup var client: ClientOptions

    func request() throws -> DaemonRequest {
        guard let params else { return DaemonRequest(named: method, vm: nil, params: nil) }
        let bytes = params == "-" ? try InputFile("-").bytes() : Array(params.utf8)
        do throws(JSONError) {
            let value = try JSONDocument(parsing: bytes, depthLimit: bytes.count).root
            // A request is one line. In JSON a line end is a blank.
            let line = bytes.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 }
            return DaemonRequest(named: method, vm: value["vm"]?.string, params: line)
        } catch {
            let place = params == "-" ? "standard input" : "the parameters"
            throw UnusableFile("\(place):\(error.line):\(error.column): \(error.expected)")
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        Terminal.isTerminal(STDOUT_FILENO) ? result.indented() : [result.rawText]
    }
}
