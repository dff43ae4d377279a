import ArgumentParser
import MemslotService

@main
struct MemslotCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslotctl",
        abstract: "Look at, plan and replay changes of KVM guest memory.",
        discussion: """
            A VM's memory is its memslot array. These commands take whole arrays: they draw one, \
            plan the way from one to another in the fewest kernel calls, and replay a recorded \
            VMM as atomic transactions.

            Begin with:
              memslotctl replay Fixtures/qemu/q35-seabios-boot.jsonl
            """,
        version: MemslotService.version,
        subcommands: [
            ReplayCommand.self, PlanCommand.self, MapCommand.self, ImportCommand.self,
            ConformCommand.self, TortureCommand.self,
        ])
}
