import ArgumentParser
import MemslotPicture
import MemslotProtocol
import Memslots

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Plan the way from one array to another in the fewest kernel calls.",
        discussion: """
            BEFORE and AFTER hold memslot arrays as JSON: lists of slots, objects with "slots", or \
            scenarios, of which the last submitted array counts. Slots of AFTER may leave their id \
            out: then one is picked so that the fewest calls result.
            """)

    @Flag(help: "Print the receipt that a submit would give, as JSON.")
    var json = false

    @Argument(help: "The array that the VM has.", completion: .file())
    var before: String

    @Argument(help: "The array that it is to have.", completion: .file())
    var after: String

    func run() throws {
        let change = try OfflineChange(before: before, after: after)
        if json {
            var writer = JSONWriter()
            writer.receipt(ReceiptMessage(vm: "plan", change.receipt))
            writer.newLine()
            return Terminal.write(writer.bytes)
        }
        Terminal.print(change.picture.lines(Terminal.textOptions))
        print("")
        tell(change.receipt)
    }

    private func tell(_ receipt: Receipt) {
        if receipt.outcome == .unchanged {
            return print("The arrays are the same: nothing to call.")
        }
        var table = TextTable(columns: [
            TextTable.Column("#", .trailing), TextTable.Column("call"),
            TextTable.Column("slot", .trailing), TextTable.Column("guest address"),
            TextTable.Column("size", .trailing), TextTable.Column("why"),
        ])
        let reasons = OperationReasons(receipt.diff)
        for (index, operation) in receipt.operations.enumerated() {
            guard let slot = operation.call.after ?? operation.call.before else { continue }
            table.append([
                "\(index)", "\(operation.call.name)", "\(slot.key)",
                "\(slot.guestPhysicalAddress)", "\(HumanSize(slot.size))",
                TextTable.Cell(reasons.reason(for: operation)),
            ])
        }
        Terminal.print(
            table.lines(
                width: Terminal.width, overflow: .wrap, colour: Terminal.usesColour))
        let count = receipt.operations.count
        print(
            "\n\(count) kernel \(count == 1 ? "call" : "calls"), "
                + (receipt.isOptimal ? "the fewest possible" : "not proved to be the fewest")
                + (receipt.quiesced
                    ? "; vCPUs are held out meanwhile" : "; the guest runs on beside them"))
        for warning in receipt.warnings { print("warning: \(warning)") }
    }
}
