import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct GetCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Print a VM's array as JSON, one slot per line.",
        discussion: "The output can be changed and submitted again.")

    @Option(help: .number("A former generation, as far back as the history reaches."))
    var generation: UInt64?

    @OptionGroup var target: VMOptions

    func request() -> DaemonRequest {
        DaemonRequest(.memslotsGet, vm: vm) { $0.member("generation", generation) }
    }

    func lines(_ result: JSONValue) -> [String] { result.indented() }
}

struct TranslateCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "translate", abstract: "Print the slots at guest physical addresses.",
        discussion: "A range may span slots and holes: a row for each piece of it.")

    @Option(help: .number("The address space.")) var addressSpace: UInt64 = 0
    @OptionGroup var target: VMOptions

    @Argument(help: "Addresses: 0x…, decimal, or with K, M, G, T; or ranges: ADDRESS+SIZE.")
    var addresses: [AddressOrRange]

    func request() -> DaemonRequest {
        DaemonRequest(.memslotsTranslate, vm: vm) { writer in
            writer.list("addresses", addresses) { writer, place in
                guard let size = place.size else { return writer.address(place.address) }
                writer.object {
                    $0.member("guestPhysicalAddress", address: place.address)
                    $0.member("size", address: size)
                }
            }
            writer.member("addressSpace", addressSpace)
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        let hasRanges = addresses.contains { $0.size != nil }
        var table = TextTable(columns: [
            .numbers("guest address"), hasRanges ? .numbers("size") : nil, .numbers("slot"),
            .numbers("offset"), "backing", "flags",
        ])
        for (place, found) in zip(addresses, result.list("translations")) {
            var address = place.address
            // The slot at an address, or the pieces of a range.
            for slot in place.size == nil ? [found] : Array(found.elements) {
                let id = slot["slot"].flatMap { $0.isNull ? nil : $0.rawText }
                table.append([
                    "\(hex(address))",
                    hasRanges ? "\(slot["size"] == nil ? "" : slot.size())" : nil,
                    "\(id ?? "–")", "\(slot["offset"]?.string ?? "")",
                    .init(id == nil ? "no slot" : WireSlot.backing(of: slot)),
                    "\(slot.strings("flags").joined(separator: " "))",
                ])
                if case .success(let size)? = slot["size"]?.quantity { address &+= size }
            }
        }
        return Terminal.lines(table)
    }
}

/// `0xfee00000`, or with a size: `0x3ffffff0+64`.
struct AddressOrRange: ExpressibleByArgument {
    let address: UInt64
    let size: UInt64?

    init?(argument: String) {
        let parts = argument.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
            .map { Quantity(argument: String($0))?.value }
        guard let address = parts[0], parts.count == 1 || parts[1] != nil else { return nil }
        (self.address, size) = (address, parts.count == 1 ? nil : parts[1])
    }
}

struct HistoryCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "List the last transactions of a VM, oldest first.")

    @Option(help: .number("The number of transactions; by default all kept.")) var last: UInt64?
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
        commandName: "dirty", abstract: "Print the dirty pages of a slot or of a memory object.",
        discussion: """
            Reading does not change the dirty log; --clear clears exactly the bits that are \
            returned. A memory object's are those of all slots that map it. With --json the bitmap is base64; bit 0 of byte 0 is the first page.
            """)

    @Flag(help: "Clear the bits that are returned.") var clear = false

    @Option(help: ArgumentHelp("A memory object, in place of a slot.", valueName: "name"))
    var memory: String?

    @Option(help: .number("The slot's address space.")) var addressSpace: UInt64?
    @Option(help: .number("The first page to read.")) var firstPage: UInt64 = 0

    @Option(help: .number("The number of pages; by default all from the first."))
    var pageCount: UInt64?

    @OptionGroup var target: VMOptions
    @Argument(help: "The slot's id.") var slot: UInt64?

    func validate() throws {
        try require((slot == nil) != (memory == nil), "name a slot, or --memory NAME")
    }

    private static let mostRanges = 200

    func request() -> DaemonRequest {
        DaemonRequest(.dirtylogGet, vm: vm) { writer in
            writer.member("slot", slot)
            writer.member("memory", memory)
            writer.member("addressSpace", addressSpace)
            writer.member("clear", clear)
            writer.member("firstPage", firstPage)
            writer.member("pageCount", pageCount)
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        let dirty = result["dirty"]?.uint64 ?? 0
        // A daemon before 0.3 has pages of 4 KiB alone.
        let page = (try? result["pageSize"]?.quantity.get()) ?? 4_096
        let pages = result["pages"]?.uint64 ?? 0
        let logged = result["logged"]?.uint64 ?? pages
        let total =
            "\(dirty) of \(pages) pages are dirty, \(HumanSize(bytes: dirty &* page))"
            + (clear && dirty > 0 ? "; they are clean now" : "")
            + (logged < pages ? "; no slot logs \(pages - logged) of them" : "")
        let bitmap = result["bitmap"]?.string ?? ""
        // No more pages than received bits, whatever count the daemon sends.
        let count = min(pages, UInt64(bitmap.utf8.count) * 6)
        let ranges = DirtyBitmap(pageCount: count, base64: bitmap).runs
        if ranges.isEmpty { return [total] }
        let offset = "offset in \(memory ?? "the slot")"
        var table = TextTable(columns: [.numbers(offset), .numbers("size")])
        for range in ranges.prefix(Self.mostRanges) {
            let offset = (firstPage &+ range.lowerBound) &* page
            table.append(["\(hex(offset))", "\(HumanSize(bytes: UInt64(range.count) &* page))"])
        }
        let rest = ranges.count - Self.mostRanges
        return [total] + Terminal.lines(table)
            + (rest > 0 ? ["and \(rest) more ranges; --json prints all"] : [])
    }
}

extension DirtyBitmap {
    /// Decodes padded base64 up to the first invalid character; bit 0 of byte 0 is the first page.
    fileprivate init(pageCount: UInt64, base64: String) {
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        self.init(pageCount: pageCount)
        for (index, character) in base64.utf8.enumerated() {
            guard let value = alphabet.firstIndex(of: character) else { return }
            // Six bits of the bytes, the highest first.
            for bit in 0..<6 where value >> (5 - bit) & 1 == 1 {
                let (byte, place) = (index * 6 + bit).quotientAndRemainder(dividingBy: 8)
                let page = UInt64(byte * 8 + 7 - place)
                if page < pageCount { insert(page..<page + 1) }
            }
        }
    }
}

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
        guard let params else { return DaemonRequest(method: method) }
        let bytes = params == "-" ? try InputFile("-").bytes() : Array(params.utf8)
        do throws(JSONError) {
            let value = try JSONDocument(parsing: bytes, depthLimit: bytes.count).root
            // A request is one line. In JSON a line end is a blank.
            let line = bytes.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 }
            return DaemonRequest(method: method, vm: value["vm"]?.string, params: line)
        } catch {
            let place = params == "-" ? "standard input" : "the parameters"
            throw UnusableFile("\(place):\(error.line):\(error.column): \(error.expected)")
        }
    }

    func lines(_ result: JSONValue) -> [String] {
        Terminal.isTerminal(STDOUT_FILENO) ? result.indented() : [result.rawText]
    }
}
