import ArgumentParser
import MemslotPicture
import MemslotProtocol
import Memslots

struct GetCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Print a VM's array as JSON, one slot per line.",
        discussion: "The output can be changed and submitted again.")

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest { DaemonRequest(.memslotsGet, vm: vm) }

    func lines(_ result: JSONValue) -> [String] {
        var lines: [String] = []
        for member in result.members where !member.key.isString("slots") {
            lines.append("  \(member.key.rawText): \(member.value.rawText)")
        }
        let slots = result.list("slots")
        let list = slots.map { "\n    \($0.rawText)" }.joined(separator: ",")
        lines.append("  \"slots\": [\(list)\(slots.isEmpty ? "" : "\n  ")]")
        return ["{", lines.joined(separator: ",\n"), "}"]
    }
}

struct TranslateCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "translate", abstract: "Print the slots at guest physical addresses.")

    @Option(help: ArgumentHelp("The address space.", valueName: "n"))
    var addressSpace: UInt64 = 0

    @OptionGroup var target: VMOptions

    @Argument(help: "Addresses: 0x…, decimal, or with K, M, G, T.")
    var addresses: [Quantity]

    func request() -> DaemonRequest {
        DaemonRequest(.memslotsTranslate, vm: vm) { writer in
            writer.list("addresses", addresses) { $0.address($1.value) }
            writer.member("addressSpace", addressSpace)
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        var table = TextTable(columns: [
            .numbers("guest address"), .numbers("slot"), .numbers("offset"), "backing", "flags",
        ])
        for (address, slot) in zip(addresses, result.list("translations")) {
            let text = "0x" + String(address.value, radix: 16)
            guard !slot.isNull else {
                table.append(["\(text)", "–", "", "no slot", ""])
                continue
            }
            table.append([
                "\(text)", "\(slot["slot"]?.rawText ?? "?")",
                "\(slot["offset"]?.string ?? "")", TextTable.Cell(WireSlot.backing(of: slot)),
                "\(slot.strings("flags").joined(separator: " "))",
            ])
        }
        return Terminal.lines(table)
    }
}

struct HistoryCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "List the last transactions of a VM, oldest first.")

    @Option(help: ArgumentHelp("The number of transactions; by default all kept.", valueName: "n"))
    var last: UInt64?

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest {
        DaemonRequest(.memslotsHistory, vm: vm) { $0.member("last", last) }
    }

    func lines(_ result: JSONValue) -> [String] {
        var table = TextTable(columns: [
            .numbers("generation"), .numbers("kernel calls"), .numbers("blackout"),
            .numbers("total"), "change",
        ])
        for receipt in result.list("receipts") {
            let times = receipt["nanoseconds"]
            let isQuiesced = receipt["quiesced"]?.bool ?? false
            table.append([
                "\(receipt["generation"]?.uint64 ?? 0)", "\(receipt["operationCount"]?.int ?? 0)",
                "\(isQuiesced ? times?.duration("blackout") ?? "?" : "–")",
                "\(times?.duration("total") ?? "?")", "\(WireSlot.changes(in: receipt["diff"]))",
            ])
        }
        return table.rows.isEmpty ? ["\(vm) has no transactions yet"] : Terminal.lines(table)
    }
}

struct DirtyCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "dirty",
        abstract: "Print the dirty pages of a slot.",
        discussion: """
            Reading does not change the dirty log; --clear clears exactly the bits that are \
            returned. With --json the bitmap is base64; bit 0 of byte 0 is the first page.
            """)

    @Flag(help: "Clear the bits that are returned.")
    var clear = false

    @Option(help: ArgumentHelp("The slot's address space.", valueName: "n"))
    var addressSpace: UInt64 = 0

    @Option(help: ArgumentHelp("The first page of the slot to read.", valueName: "n"))
    var firstPage: UInt64 = 0

    @Option(
        help: ArgumentHelp("The number of pages; by default all from the first.", valueName: "n"))
    var pageCount: UInt64?

    @OptionGroup var target: VMOptions

    @Argument(help: "The slot's id.")
    var slot: UInt64

    private static let mostRanges = 200

    func request() -> DaemonRequest {
        DaemonRequest(.dirtylogGet, vm: vm) { writer in
            writer.member("slot", slot)
            writer.member("addressSpace", addressSpace)
            writer.member("clear", clear)
            writer.member("firstPage", firstPage)
            writer.member("pageCount", pageCount)
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        let dirty = result["dirty"]?.uint64 ?? 0
        let pages = result["pages"]?.uint64 ?? 0
        let total =
            "\(dirty) of \(pages) pages are dirty, \(HumanSize(bytes: dirty &* 4_096))"
            + (clear && dirty > 0 ? "; they are clean now" : "")
        let bitmap = result["bitmap"]?.string ?? ""
        // No more pages than received bits, whatever count the daemon sends.
        let count = min(pages, UInt64(bitmap.utf8.count) * 6)
        let ranges = DirtyBitmap(pageCount: count, base64: bitmap).runs
        if ranges.isEmpty { return [total] }
        var table = TextTable(columns: [.numbers("offset in the slot"), .numbers("size")])
        for range in ranges.prefix(Self.mostRanges) {
            let offset = (firstPage &+ range.lowerBound) &* 4_096
            table.append([
                "0x\(String(offset, radix: 16))",
                "\(HumanSize(bytes: UInt64(range.count) &* 4_096))",
            ])
        }
        let rest = ranges.count - Self.mostRanges
        return [total] + Terminal.lines(table)
            + (rest > 0 ? ["and \(rest) more ranges; --json prints all"] : [])
    }
}

extension DirtyBitmap {
    /// Decodes the wire's bitmap: padded base64, bit 0 of byte 0 is the first page.
    ///
    /// Decoding ends at the first invalid character; bits beyond `pageCount` are ignored.
    fileprivate init(pageCount: UInt64, base64: String) {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let values = Dictionary(
            uniqueKeysWithValues: alphabet.utf8.enumerated().map { ($0.element, $0.offset) })
        self.init(pageCount: pageCount)
        // The low `count` bits of `bits` are not used yet.
        var (bits, count, page) = (0, 0, UInt64(0))
        for character in base64.utf8 {
            guard let value = values[character] else { return }
            bits = (bits & 0xff) << 6 | value
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            for bit in 0..<8 where bits >> (count + bit) & 1 == 1 && page + UInt64(bit) < pageCount
            {
                insert(page + UInt64(bit)..<page + UInt64(bit) + 1)
            }
            page += 8
        }
    }
}
