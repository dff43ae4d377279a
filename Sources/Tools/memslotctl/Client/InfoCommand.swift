import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Tell what a daemon is, takes and holds.")

    @OptionGroup
    var client: ClientOptions

    func run() throws {
        var connection = try client.daemon.connect()
        let info = try connection.ask(.serverInfo)
        if client.print(info) { return }
        let list = try connection.ask(.vmList)
        let result = info.result
        print(
            "\(result["name"]?.string ?? "") \(result["version"]?.string ?? ""), "
                + "protocol \(result["protocol"]?.rawText ?? "?"), "
                + "process \(result["pid"]?.rawText ?? "?"), at \(try client.daemon.path().path)\n")
        for backend in result["backends"].map({ Array($0.members) }) ?? [] {
            print("\(backend.name): \(Self.words(backend.value))")
        }
        print("")
        Terminal.print(ListCommand.lines(list.result))
        print("")
        Terminal.print(limits(result["limits"]))
    }

    private static func words(_ backend: JSONValue) -> String {
        guard backend["available"]?.bool == true else {
            return "not available: \(backend["reason"]?.string ?? "no reason given")"
        }
        let capabilities = backend["capabilities"]
        let flags = capabilities?["flags"]?.elements.compactMap(\.string) ?? []
        let spaces = capabilities?["addressSpaces"]?.uint64 ?? 0
        return "\(capabilities?["maxSlots"]?.rawText ?? "?") slots, "
            + "\(spaces) address \(spaces == 1 ? "space" : "spaces"), "
            + "\(capabilities?["guestPhysicalBits"]?.rawText ?? "?") guest address bits, "
            + flags.joined(separator: ", ")
    }

    private func limits(_ limits: JSONValue?) -> [String] {
        var table = TextTable(columns: [TextTable.Column("limit"), TextTable.Column("", .trailing)])
        for limit in limits.map({ Array($0.members) }) ?? [] {
            let isBytes = limit.name.contains("ytes")
            let value = limit.value.uint64 ?? 0
            table.append(["\(limit.name)", isBytes ? "\(HumanSize(bytes: value))" : "\(value)"])
        }
        return table.lines(width: Terminal.width, colour: Terminal.usesColour)
    }
}
