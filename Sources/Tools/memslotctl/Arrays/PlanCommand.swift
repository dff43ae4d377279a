import ArgumentParser
import MemslotPicture
import MemslotProtocol
import Memslots

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Plan the way from one array to another in the fewest kernel calls.",
        usage: """
            memslotctl plan [--json] <before> <after>
            memslotctl plan [--json] [--socket <path>] --vm <vm> <after>
            """,
        discussion: """
            BEFORE and AFTER hold memslot arrays as JSON: lists of slots, objects with "slots", or \
            scenarios, of which the last submitted array counts. Slots of AFTER may leave their id \
            out: then one is picked so that the fewest calls result.

            With --vm a running daemon is asked instead: \
            memslotctl plan --vm VM AFTER
            """)

    @OptionGroup
    var client: ClientOptions

    @Option(help: "Plan the way from what this VM of a daemon has.")
    var vm: String?

    @Argument(
        help: "BEFORE AFTER: the array that the VM has, and that it is to have.",
        completion: .file())
    var files: [String]

    func validate() throws {
        guard files.count == (vm == nil ? 2 : 1) else {
            throw ValidationError(
                vm == nil ? "name two files: BEFORE AFTER" : "with --vm name one file: AFTER")
        }
        guard vm != nil || client.daemon.socket == nil else {
            throw ValidationError("with --socket name the VM: --vm VM AFTER")
        }
    }

    func run() throws {
        if let vm { return try ask(vm) }
        let change = try OfflineChange(before: files[0], after: files[1])
        if client.json {
            var writer = JSONWriter()
            writer.receipt(ReceiptMessage(vm: "plan", change.receipt))
            writer.newLine()
            return Terminal.write(writer.bytes)
        }
        Terminal.print(change.picture.lines(Terminal.textOptions))
        print("")
        tell(change.receipt)
    }

    /// What a submit to a VM would do, by the daemon's word.
    private func ask(_ vm: String) throws {
        let array = try SubmittedFile(files[0])
        try client.ask(.memslotsPlan, vm: vm, about: array) {
            array.write(to: &$0)
        } tell: {
            Terminal.print(ReceiptText($0).lines(isPlan: true))
        }
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
                "\(index)", "\(operation.call.name)", "\(slot.assignedKey)",
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

/// Why each call of a plan is there, in words.
struct OperationReasons {
    private let replaced: [SlotKey: (before: Memslot, after: Memslot)]

    init(_ diff: MemslotDiff) {
        let added = Dictionary(uniqueKeysWithValues: diff.added.map { ($0.assignedKey, $0) })
        replaced = diff.removed.reduce(into: [:]) { pairs, before in
            if let after = added[before.assignedKey] { pairs[before.assignedKey] = (before, after) }
        }
    }

    func reason(for operation: PlannedOperation) -> String {
        switch (operation.reason, operation.call) {
        case (.cycle, .delete): return "moves that wait for each other in a circle: out of the way"
        case (.cycle, _): return "back, at its new address"
        case (.replaced, let call):
            guard let pair = replaced[call.key] else { return "replaced" }
            return "replaced: \(Self.difference(pair.before, pair.after)) can't change in place"
        case (nil, .create): return "added"
        case (nil, .delete): return "removed"
        case (nil, .move(let from, let to)):
            let log = Self.log(from, to).map { ", \($0)" } ?? ""
            return "moved from \(from.guestPhysicalAddress)\(log)"
        case (nil, .reflag(let from, let to)): return Self.log(from, to) ?? "flags"
        }
    }

    private static func log(_ from: Memslot, _ to: Memslot) -> String? {
        guard from.isLogging != to.isLogging else { return nil }
        return to.isLogging ? "logs dirty pages now" : "stops logging dirty pages"
    }

    /// The members that keep a slot from being changed in place.
    private static func difference(_ before: Memslot, _ after: Memslot) -> String {
        var members: [String] = []
        if before.size != after.size {
            members.append("size (\(HumanSize(before.size)) → \(HumanSize(after.size)))")
        }
        if before.userspaceAddress != after.userspaceAddress || before.memory != after.memory {
            members.append("backing")
        }
        if before.flags.contains(.readOnly) != after.flags.contains(.readOnly) {
            members.append("readonly")
        }
        if before.flags.contains(.guestMemfd) || after.flags.contains(.guestMemfd) {
            members.append("a guest-memfd slot")
        }
        return members.joined(separator: ", ")
    }
}
