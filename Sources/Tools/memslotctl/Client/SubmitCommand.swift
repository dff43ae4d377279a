import ArgumentParser
import MemslotPicture
import MemslotProtocol

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
