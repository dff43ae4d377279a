import ArgumentParser

@main
struct MemslotCtl: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "memslotctl")
}
