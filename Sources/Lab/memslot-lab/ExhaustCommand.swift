import ArgumentParser
import MemslotLab
import MemslotPicture

struct ExhaustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exhaust",
        abstract: "Plan every pair of arrays of a small world, and check each plan.",
        discussion: """
            Plans all pairs of arrays of up to 3 slots on 6 pages, with 2 flags and 2 backings. \
            Each operation must be legal by the kernel's rules, the result must be the submitted \
            array, and no plan may be shorter. Pairs that the planner cannot distinguish are planned \
            once and counted as often as they occur. Pairs of up to 4 slots on 5 pages are drawn from \
            the seed, with any flags and backings. Then small arrays are submitted with dirty pages, \
            and each page is accounted for.

            Exit status: 0 all held; 1 something did not.
            """)

    @Option(help: "Visit one layout in N as the old array; 1, the default, visits all.")
    var every = 1

    @Option(help: "The number of random pairs.")
    var draws = 200_000

    @Option(help: "The seed of random pairs and dirty pages.")
    var seed: UInt64 = 1

    func validate() throws {
        guard every > 0, draws >= 0 else {
            throw ValidationError("--every must be at least 1, --draws at least 0")
        }
    }

    func run() throws {
        var findings: [String] = []
        func printPlans(_ title: String, _ report: ExhaustionReport) {
            print(
                "\(title): \(report.pairs) pairs of \(report.arrays) arrays, \(report.planned) "
                    + "planned, a shorter plan searched for \(report.searched), "
                    + "\(report.wrong) wrong")
            findings += report.findings
        }
        func printDirt(_ title: String, _ report: ExhaustionReport) {
            print(
                "\(title): \(report.pairs) transactions with \(report.dirtyPages) dirty pages, "
                    + "\(report.wrong) wrong")
            findings += report.findings
        }
        printPlans("3 slots on 6 pages", PlanExhaustion(ids: 3, pages: 6).visitAll(every: every))
        for (ids, pages) in [(3, 6), (4, 5)] as [(Int, UInt64)] {
            printPlans(
                "\(ids) slots on \(pages) pages, random",
                PlanExhaustion(ids: ids, pages: pages).visitSample(draws, seed: seed))
        }
        printDirt("2 slots on 4 pages", DirtyExhaustion(ids: 2, pages: 4).visitAll(seed: seed))
        for (ids, pages) in [(3, 6), (4, 5)] as [(Int, UInt64)] {
            printDirt(
                "\(ids) slots on \(pages) pages, random",
                DirtyExhaustion(ids: ids, pages: pages).visitSample(draws, seed: seed))
        }
        for finding in findings.prefix(20) { Terminal.complain(finding) }
        guard findings.isEmpty else { throw ExitCode.failure }
    }
}
