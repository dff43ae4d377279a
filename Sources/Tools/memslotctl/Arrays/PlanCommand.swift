import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Plan the change from one array to another with the fewest kernel calls.",
        usage: """
            memslotctl plan [--json] <before> <after>
            memslotctl plan [--json] [--socket <path>] --vm <vm> <after>
            """,
        discussion: """
            BEFORE and AFTER contain memslot arrays as JSON: a list of slots, an object with \
            "slots", a scenario, which means its last submitted array, or the text of QEMU's \
            'info mtree -f'. A slot of AFTER without an id gets one that leads to the fewest calls.

            Both are validated by the rules of the VM that a scenario creates, or of the options.

            --vm plans the change of a VM of a running daemon: \
            memslotctl plan --vm VM AFTER
            """)

    @OptionGroup var client: ClientOptions
    @OptionGroup(title: "Rules") var rules: OfflineRules

    @Option(help: "The VM's flags, by commas: log-dirty-pages, readonly, guest-memfd, or none.")
    var flags: String?

    @Option(help: "Plan the change from the array of this VM of a daemon.") var vm: String?
    @Flag(help: "Hold vCPUs only where they could miss memory that stays.") var continuity = false

    @Argument(help: "BEFORE AFTER: the present and the wanted array.", completion: .file())
    var files: [String]

    func validate() throws {
        try require(
            files.count == (vm == nil ? 2 : 1),
            vm == nil ? "name two files: BEFORE AFTER" : "with --vm name one file: AFTER")
        try require(vm != nil || client.daemon.socket == nil, "--socket needs a VM: --vm VM AFTER")
    }

    func run() throws {
        if let vm {
            let file = try ArrayFile.submitted(files[0])
            let request = DaemonRequest(.memslotsPlan, vm: vm, array: file) { writer in
                if continuity { writer.member("quiesce", "continuity") }
            }
            return try client.run(request) { ReceiptText($0).lines(isPlan: true) }
        }
        let change = try OfflineChange(
            before: files[0], after: files[1], rules, flags: flags,
            quiesce: continuity ? .continuity : .auto)
        let findings = ArrayFindings(change.after, maxSlots: change.rules.limits.maxSlots).all
        if client.json {
            var writer = JSONWriter()
            var receipt = change.receipt
            receipt.warnings = findings.map(\.description)
            writer.receipt(ReceiptMessage(vm: "plan", receipt))
            writer.newLine()
            return Terminal.write(writer.bytes)
        }
        Terminal.print(change.picture.lines(Terminal.textOptions) + [""])
        print(change.receipt)
        Terminal.print(findings.map(\.description) + [change.rules.description])
    }

    private func print(_ receipt: Receipt) {
        if receipt.outcome == .unchanged {
            return Terminal.print("The arrays are equal: no calls.")
        }
        var table = TextTable(columns: [
            .numbers("#"), "call", .numbers("slot"), "guest address", .numbers("size"), "why",
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
        Terminal.print(Terminal.lines(table))
        Terminal.print(
            "\n\(counted(receipt.operations.count, "kernel call")), "
                + (receipt.isOptimal ? "the fewest possible" : "not proved to be the fewest")
                + (receipt.holdReason.map { "; vCPUs are held meanwhile (\($0.rawValue))" }
                    ?? "; the guest keeps running"))
    }
}

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
        case (.cycle, .delete): return "a cycle of moves: removed first"
        case (.cycle, _): return "added again at its new address"
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
        return to.isLogging ? "starts logging dirty pages" : "stops logging dirty pages"
    }

    private static func difference(_ before: Memslot, _ after: Memslot) -> String {
        let isElsewhere =
            before.userspaceAddress != after.userspaceAddress || before.memory != after.memory
        let sizes = (HumanSize(before.size), HumanSize(after.size))
        let members = [
            (before.size != after.size, "size (\(sizes.0) → \(sizes.1))"), (isElsewhere, "backing"),
            (before.flags.contains(.readOnly) != after.flags.contains(.readOnly), "readonly"),
            (before.flags.union(after.flags).contains(.guestMemfd), "a guest-memfd slot"),
        ]
        return members.filter(\.0).map(\.1).joined(separator: ", ")
    }
}
