import ArgumentParser
import MemslotPicture
import MemslotProtocol
import Memslots

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

struct DirtyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dirty",
        abstract: "Tell the dirty pages of a slot.",
        discussion: """
            Looking changes nothing; --clear clears exactly the bits that were told. With --json \
            the bitmap comes as base64, bit 0 of byte 0 is the first page.
            """)

    @OptionGroup
    var client: ClientOptions

    @Flag(help: "Clear the bits that are told.")
    var clear = false

    @Option(help: ArgumentHelp("The slot's address space.", valueName: "n"))
    var addressSpace: UInt64 = 0

    @Option(help: ArgumentHelp("The first page of the slot to tell.", valueName: "n"))
    var firstPage: UInt64 = 0

    @Option(help: ArgumentHelp("How many pages; without it all from the first.", valueName: "n"))
    var pageCount: UInt64?

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "The slot's id.")
    var slot: UInt64

    /// More ranges than a person reads.
    private static let mostRanges = 200

    func run() throws {
        try client.ask(.dirtylogGet, vm: vm) { writer in
            writer.key("slot")
            writer.integer(slot)
            writer.key("addressSpace")
            writer.integer(addressSpace)
            writer.key("clear")
            writer.bool(clear)
            writer.key("firstPage")
            writer.integer(firstPage)
            writer.optional("pageCount", pageCount)
        } tell: {
            tell($0)
        }
    }

    private func tell(_ log: JSONValue) {
        let dirty = log["dirty"]?.uint64 ?? 0
        let pages = log["pages"]?.uint64 ?? 0
        print(
            "\(dirty) of \(pages) pages are dirty, \(HumanSize(bytes: dirty &* 4_096))"
                + (clear && dirty > 0 ? "; they are clean now" : ""))
        let bitmap = log["bitmap"]?.string ?? ""
        // No more pages than bits came, whatever the daemon says.
        let told = min(pages, UInt64(bitmap.utf8.count) * 6)
        let ranges = DirtyBitmap(pageCount: told, base64: bitmap).runs
        if ranges.isEmpty { return }
        var table = TextTable(columns: [
            TextTable.Column("offset in the slot", .trailing), TextTable.Column("size", .trailing),
        ])
        for range in ranges.prefix(Self.mostRanges) {
            let offset = (firstPage &+ range.lowerBound) &* 4_096
            table.append([
                "0x\(String(offset, radix: 16))",
                "\(HumanSize(bytes: UInt64(range.count) &* 4_096))",
            ])
        }
        Terminal.print(table.lines(width: Terminal.width, colour: Terminal.usesColour))
        if ranges.count > Self.mostRanges {
            print("and \(ranges.count - Self.mostRanges) more ranges; --json tells all")
        }
    }
}

extension DirtyBitmap {
    /// The bitmap of a dirty log as the wire has it: padded base64, bit 0 of byte 0 the first page.
    ///
    /// What is no base64 ends it, and the pages after that are clean; bits past `pageCount` are
    /// passed over.
    init(pageCount: UInt64, base64: String) {
        self.init(pageCount: pageCount)
        // Six bits a character, from the top of each byte; `count` bits of `bits` are not used yet.
        var bits: UInt64 = 0
        var count: UInt64 = 0
        var page: UInt64 = 0
        for character in base64.utf8 {
            guard let value = Self.value(of: character) else { return }
            bits = bits << 6 | value
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            let byte = bits >> count & 0xFF
            for bit in 0..<8 where byte >> UInt64(bit) & 1 == 1 {
                let dirty = page + UInt64(bit)
                if dirty < pageCount { insert(dirty..<dirty + 1) }
            }
            page += 8
        }
    }

    private static func value(of character: UInt8) -> UInt64? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt64(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt64(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
