import ArgumentParser
import MemslotLab
import MemslotPicture

struct ExhaustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exhaust",
        abstract: "Plan every pair of arrays of a small world, and judge each plan.",
        discussion: """
            All pairs of arrays of up to 3 slots on 6 pages, with 2 flags and 2 backings: each \
            plan must be legal at every call by the kernel's rules, end with the wanted slots, and \
            be as short as any way there is. Pairs whose plans can't differ are planned once and \
            counted as often as they are. Pairs of up to 4 slots on 5 pages are drawn from the \
            seed, with whatever flags and backings. Then small arrays are submitted with dirty \
            pages, and each page is accounted for.

            Exit status: 0 all held, 1 something did not.
            """)

    @Option(help: "Visit one layout in N as the old array; 1, the default, visits all.")
    var every = 1

    @Option(help: "How many pairs to draw.")
    var draws = 200_000

    @Option(help: "What pairs and dirty pages are drawn from.")
    var seed: UInt64 = 1

    func validate() throws {
        guard every > 0, draws >= 0 else {
            throw ValidationError("--every: above 0; --draws: not below 0")
        }
    }

    func run() throws {
        var findings: [String] = []
        for (title, plans) in [
            ("3 slots on 6 pages", PlanExhaustion(ids: 3, pages: 6).visitAll(every: every)),
            (
                "3 slots on 6 pages, drawn",
                PlanExhaustion(ids: 3, pages: 6).visitSample(draws, seed: seed)
            ),
            (
                "4 slots on 5 pages, drawn",
                PlanExhaustion(ids: 4, pages: 5).visitSample(draws, seed: seed)
            ),
        ] {
            print(
                "\(title): \(plans.pairs) pairs of \(plans.arrays) arrays, \(plans.planned) planned, "
                    + "a shorter way searched for \(plans.searched), \(plans.wrong) wrong")
            findings += plans.findings
        }
        for (title, dirt) in [
            ("2 slots on 4 pages", DirtyExhaustion(ids: 2, pages: 4).visitAll(seed: seed)),
            (
                "3 slots on 6 pages, drawn",
                DirtyExhaustion(ids: 3, pages: 6).visitSample(draws, seed: seed)
            ),
            (
                "4 slots on 5 pages, drawn",
                DirtyExhaustion(ids: 4, pages: 5).visitSample(draws, seed: seed)
            ),
        ] {
            print(
                "\(title): \(dirt.pairs) transactions with \(dirt.dirtyPages) dirty pages, "
                    + "\(dirt.wrong) wrong")
            findings += dirt.findings
        }
        for finding in findings.prefix(20) { Terminal.complain(finding) }
        guard findings.isEmpty else { throw ExitCode(1) }
    }
}
