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

    @Option(help: "The number of random pairs.") var draws = 200_000

    @Option(help: "The seed of random pairs and dirty pages.") var seed: UInt64 = 1

    func validate() throws {
        guard every > 0, draws >= 0 else {
            throw ValidationError("--every must be at least 1, --draws at least 0")
        }
    }

    func run() throws {
        var findings: [String] = []
        func show(_ what: String, _ plans: ExhaustionReport) {
            print(
                "\(what): \(plans.pairs) pairs of \(plans.arrays) arrays, \(plans.planned) "
                    + "planned, a shorter plan searched for \(plans.searched), "
                    + "\(plans.wrong) wrong")
            findings += plans.findings
        }
        func showDirt(_ what: String, _ commits: ExhaustionReport) {
            print(
                "\(what): \(commits.pairs) transactions with \(commits.dirtyPages) dirty pages, "
                    + "\(commits.wrong) wrong")
            findings += commits.findings
        }
        let (three, four) = (SmallWorld(ids: 3, pages: 6), SmallWorld(ids: 4, pages: 5))
        show("3 slots on 6 pages", three.planAll(every: every))
        show("3 slots on 6 pages, random", three.planSample(draws, seed: seed))
        show("4 slots on 5 pages, random", four.planSample(draws, seed: seed))
        showDirt("2 slots on 4 pages", SmallWorld(ids: 2, pages: 4).commitAll(seed: seed))
        showDirt("3 slots on 6 pages, random", three.commitSample(draws, seed: seed))
        showDirt("4 slots on 5 pages, random", four.commitSample(draws, seed: seed))
        for finding in findings.prefix(20) { Terminal.complain(finding) }
        guard findings.isEmpty else { throw ExitCode.failure }
    }
}
