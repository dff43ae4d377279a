import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct SubmitCommand: VMRequestCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Submit the array of a file as a VM's memory: all of it or nothing.",
        discussion: """
            FILE contains the complete array as JSON: a list of slots, an object with "slots", \
            such as memslotctl get prints, or a scenario, which means its last submitted array. \
            A slot without an id gets one that leads to the fewest calls. "attributes" of the \
            object are the guest ranges that become private; without it they stay as they are.

            Exit status: 0 committed or unchanged, 1 refused without any effect, 2 the file can't \
            be used.
            """)

    @Option(help: .number("Commit only if the VM is at this generation."))
    var expectedGeneration: UInt64?

    @Flag(help: "Hold vCPUs even if the plan does not require it.") var quiesce = false
    @Flag(help: "Hold vCPUs only where they could miss memory that stays.") var continuity = false

    @Option(help: ArgumentHelp("The most time for vCPUs and readers to leave.", valueName: "ms"))
    var deadlineMs: UInt64?

    @OptionGroup var target: VMOptions
    @Argument(help: "The array; - is standard input.", completion: .file()) var file: String

    func validate() throws {
        try require(!(quiesce && continuity), "--quiesce and --continuity exclude each other")
    }

    func request() throws -> DaemonRequest {
        let array = try ArrayFile.submitted(file)
        return DaemonRequest(.memslotsSubmit, vm: vm, array: array) { writer in
            writer.member("expectedGeneration", expectedGeneration)
            if quiesce { writer.member("quiesce", "always") }
            if continuity { writer.member("quiesce", "continuity") }
            writer.member("quiesceDeadlineMs", deadlineMs)
        }
    }

    func lines(_ result: JSONValue) -> [String] { ReceiptText(result).lines(isPlan: false) }
}

extension ArrayFile {
    static func submitted(_ name: String) throws -> ArrayFile {
        var file = try read(name)
        if name == "-" { file.name = "standard input" }
        return file
    }

    /// The line of the slot in a path such as `slots[3].size`.
    func line(at path: String) -> Int? {
        let start = "slots["
        guard path.hasPrefix(start), path.contains("]"),
            let index = Int(path.dropFirst(start.count).prefix { $0 != "]" }),
            lines.indices.contains(index)
        else { return nil }
        return lines[index]
    }
}

extension JSONWriter {
    mutating func slots(of file: ArrayFile) {
        list("slots", file.slots) { $0.slot($1) }
        // A request is one line, a file may have several.
        member("attributes", file.attributes) { $0.raw($1.rawBytes.filter { $0 >= 0x20 }) }
    }

    private mutating func slot(_ slot: SlotParameters) {
        beginObject()
        member("slot", slot.slot)
        if slot.addressSpace != 0 { member("addressSpace", slot.addressSpace) }
        member("guestPhysicalAddress", address: slot.guestPhysicalAddress.rawValue)
        member("size", address: slot.size.rawValue)
        member("userspaceAddress", address: slot.userspaceAddress?.rawValue)
        member("memory", slot.memory)
        member("memoryOffset", address: slot.memoryOffset?.rawValue)
        member("opaque", slot.opaque)
        member(flags: slot.flags)
        member("guestMemfd", slot.guestMemfd)
        member("guestMemfdOffset", address: slot.guestMemfdOffset?.rawValue)
        endObject()
    }
}
