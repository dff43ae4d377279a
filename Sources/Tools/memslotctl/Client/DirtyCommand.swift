import ArgumentParser
import MemslotPicture
import MemslotProtocol
import Memslots

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
