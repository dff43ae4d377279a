import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import Memslots

struct SubmitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Make the array of a file a VM's memory, all at once or not at all.",
        discussion: """
            FILE holds the complete array as JSON: a list of slots, an object with "slots", such \
            as memslotctl get prints, or a scenario, of which the last submitted array counts. \
            Slots may leave their id out: then one is picked so that the fewest calls result.

            Exit status: 0 committed or unchanged, 1 refused, and nothing took effect, 2 the file \
            can't be used.
            """)

    @OptionGroup
    var client: ClientOptions

    @Option(
        help: ArgumentHelp("Commit only if the VM is at this generation.", valueName: "n"))
    var expectedGeneration: UInt64?

    @Flag(help: "Hold vCPUs out even where the plan doesn't need it.")
    var quiesce = false

    @Option(
        name: .customLong("deadline-ms"),
        help: ArgumentHelp("How long vCPUs and readers may take to leave.", valueName: "ms"))
    var deadline: UInt64?

    @Argument(help: "The VM's name.")
    var vm: String

    @Argument(help: "The array; - is standard input.", completion: .file())
    var file: String

    func run() throws {
        let array = try SubmittedFile(file)
        try client.ask(.memslotsSubmit, vm: vm, about: array) { writer in
            array.write(to: &writer)
            writer.optional("expectedGeneration", expectedGeneration)
            if quiesce {
                writer.key("quiesce")
                writer.string("always")
            }
            writer.optional("quiesceDeadlineMs", deadline)
        } tell: {
            Terminal.print(ReceiptText($0).lines(isPlan: false))
        }
    }
}

/// An array in a file that is sent to a daemon, and where in it each slot stands.
struct SubmittedFile {
    let name: String
    private let file: ArrayFile

    /// Reads the file `name`; `-` is standard input.
    ///
    /// - Throws: the exit status for unusable input, once the reason was told.
    init(_ name: String) throws {
        self.name = name == "-" ? "standard input" : name
        file = try ArrayFile.read(name)
    }

    /// The array as `slots` of a request.
    func write(to writer: inout JSONWriter) {
        writer.key("slots")
        writer.beginArray()
        for slot in file.slots { writer.slot(slot) }
        writer.endArray()
    }

    /// The line of the slot that a path such as `slots[3].size` names.
    func line(at path: String) -> Int? { index(of: path).map { file.lines[$0] } }

    /// The slot's value that a path names, with the member's name.
    func value(at path: String) -> String? {
        guard let index = index(of: path), let dot = path.firstIndex(of: ".") else { return nil }
        let member = String(path[path.index(after: dot)...])
        let slot = file.slots[index]
        let value: String
        switch member {
        case "guestPhysicalAddress": value = "\(slot.guestPhysicalAddress)"
        case "size": value = "\(slot.size)"
        case "userspaceAddress":
            guard let address = slot.userspaceAddress else { return nil }
            value = "\(address)"
        case "memory": value = slot.memory.map { "\"\($0)\"" } ?? "none"
        default: return nil
        }
        return "\(member) is \(value)"
    }

    private func index(of path: String) -> Int? {
        let start = "slots["
        guard path.hasPrefix(start), let end = path.firstIndex(of: "]"),
            let index = Int(path.dropFirst(start.count).prefix { $0 != "]" }),
            file.slots.indices.contains(index), end > path.startIndex
        else { return nil }
        return index
    }
}

extension JSONWriter {
    /// Writes a slot as its file has it.
    fileprivate mutating func slot(_ slot: SlotParameters) {
        beginObject()
        if let id = slot.slot {
            key("slot")
            integer(id)
        }
        if slot.addressSpace != 0 {
            key("addressSpace")
            integer(slot.addressSpace)
        }
        key("guestPhysicalAddress")
        address(slot.guestPhysicalAddress.rawValue)
        key("size")
        address(slot.size.rawValue)
        if let userspaceAddress = slot.userspaceAddress {
            key("userspaceAddress")
            address(userspaceAddress.rawValue)
        }
        text("memory", slot.memory)
        quantity("memoryOffset", slot.memoryOffset)
        text("opaque", slot.opaque)
        key("flags")
        flags(slot.flags)
        text("guestMemfd", slot.guestMemfd)
        quantity("guestMemfdOffset", slot.guestMemfdOffset)
        endObject()
    }

    private mutating func text(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        key(name)
        string(value)
    }

    private mutating func quantity(_ name: StaticString, _ value: ByteCount?) {
        guard let value else { return }
        key(name)
        address(value.rawValue)
    }
}
