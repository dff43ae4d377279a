import ArgumentParser
import MemslotPicture
import MemslotProtocol

struct GetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Print a VM's array as JSON, a slot a line.",
        discussion: "What it prints can be changed and submitted again.")

    @OptionGroup
    var client: ClientOptions

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.memslotsGet, vm: vm, tell: tell)
    }

    private func tell(_ array: JSONValue) {
        var lines: [String] = []
        for member in array.members where !member.key.isString("slots") {
            lines.append("  \(member.key.rawText): \(member.value.rawText)")
        }
        let slots = array["slots"].map { Array($0.elements) } ?? []
        let list = slots.map { "\n    \($0.rawText)" }.joined(separator: ",")
        lines.append("  \"slots\": [\(list)\(slots.isEmpty ? "" : "\n  ")]")
        print("{\n\(lines.joined(separator: ",\n"))\n}")
    }
}

struct TranslateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "translate", abstract: "Tell what is behind guest physical addresses.")

    @OptionGroup
    var client: ClientOptions

    @Option(help: ArgumentHelp("The address space.", valueName: "n"))
    var addressSpace: UInt64 = 0

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "Addresses: 0x…, decimal, or with K, M, G, T.")
    var addresses: [Quantity]

    func run() throws {
        try client.ask(.memslotsTranslate, vm: vm) { writer in
            writer.key("addresses")
            writer.beginArray()
            for address in addresses { writer.address(address.value) }
            writer.endArray()
            writer.key("addressSpace")
            writer.integer(addressSpace)
        } tell: {
            tell($0)
        }
    }

    private func tell(_ translated: JSONValue) {
        var table = TextTable(columns: [
            TextTable.Column("guest address", .trailing), TextTable.Column("slot", .trailing),
            TextTable.Column("offset", .trailing), TextTable.Column("backing"),
            TextTable.Column("flags"),
        ])
        let translations = translated["translations"].map { Array($0.elements) } ?? []
        for (address, translation) in zip(addresses, translations) {
            let text = "0x" + String(address.value, radix: 16)
            guard !translation.isNull else {
                table.append(["\(text)", "–", "", "no slot", ""])
                continue
            }
            let flags = translation["flags"]?.elements.compactMap(\.string) ?? []
            table.append([
                "\(text)", "\(translation["slot"]?.rawText ?? "?")",
                "\(translation["offset"]?.string ?? "")",
                TextTable.Cell(WireSlot.backing(of: translation)),
                "\(flags.joined(separator: " "))",
            ])
        }
        Terminal.print(table.lines(width: Terminal.width, colour: Terminal.usesColour))
    }
}

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "List the last transactions of a VM, oldest first.")

    @OptionGroup
    var client: ClientOptions

    @Option(help: ArgumentHelp("How many; all that are kept without it.", valueName: "n"))
    var last: UInt64?

    @Argument(help: "The VM's name.")
    var vm: String

    func run() throws {
        try client.ask(.memslotsHistory, vm: vm) {
            $0.optional("last", last)
        } tell: {
            tell($0)
        }
    }

    private func tell(_ history: JSONValue) {
        var table = TextTable(columns: [
            TextTable.Column("generation", .trailing), TextTable.Column("kernel calls", .trailing),
            TextTable.Column("blackout", .trailing), TextTable.Column("total", .trailing),
            TextTable.Column("change"),
        ])
        let receipts = history["receipts"].map { Array($0.elements) } ?? []
        if receipts.isEmpty { return print("\(vm) has no transactions yet") }
        for receipt in receipts {
            let times = receipt["nanoseconds"]
            let isQuiesced = receipt["quiesced"]?.bool ?? false
            let blackout = HumanDuration(nanoseconds: times?["blackout"]?.uint64 ?? 0)
            table.append([
                "\(receipt["generation"]?.uint64 ?? 0)", "\(receipt["operationCount"]?.int ?? 0)",
                isQuiesced ? "\(blackout)" : "–",
                "\(HumanDuration(nanoseconds: times?["total"]?.uint64 ?? 0))",
                "\(ReplayRow.words(for: receipt["diff"]))",
            ])
        }
        Terminal.print(table.lines(width: Terminal.width, colour: Terminal.usesColour))
    }
}
