import ArgumentParser
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import MemslotSimulator

struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Let everything fail that can, in every submit of scenarios.",
        discussion: """
            Each slot call of each submit fails, with each errno that a kernel may answer there, \
            once and from then on; so do the calls of the undo and of the recovery, the readings of \
            dirty logs, hooks, and vCPUs and readers that stay. After each, the installed slots, \
            the generation, the dirty pages, the hooks' calls, the readers' view and the picked \
            ids must be as before, or the VM be named failed and come back.

            On kvm no guest runs: each point gets a VM of the kernel's, whose logs begin full.

            Exit status: 0 all held, 1 something did not, 2 the input can't be used, 3 no /dev/kvm.
            """)

    @Option(help: "What the VMs are: simulated, the default, or kvm.")
    var backend = ConformBackend.simulated

    @Option(help: "Visit one point in N; 1, the default, visits all.")
    var sample = 1

    @Option(
        help: ArgumentHelp(
            "In a plan of more calls than this, errnos and second faults are sampled.",
            valueName: "calls"))
    var longest = 40

    @Argument(help: "Scenarios.", completion: .file())
    var files: [String]

    func validate() throws {
        guard sample > 0, longest > 0 else {
            throw ValidationError("--sample and --longest: above 0")
        }
    }

    func run() throws {
        let sweeps = try grounds().map { ground in
            FaultSweep(
                on: ground, longest: longest, separately: backend == .kvm, every: sample)
        }
        var swept: [SweepScene] = []
        var submits = 0
        var withoutScene = 0
        for file in files {
            let input = try InputFile(file)
            var lines = ScenarioReader(LineReader(descriptor: input.descriptor))
            var scenes = FixtureScenes(file)
            do throws(UnusableInput) {
                while let step = try lines.next() {
                    guard let scene = try next(&scenes, step) else { continue }
                    swept.append(scene)
                }
            } catch {
                throw input.unusable(error)
            }
            submits += scenes.submits
            withoutScene += scenes.withoutScene
        }
        let report = FaultSweep.sweep(swept, by: sweeps)
        for finding in report.findings.prefix(100) { Terminal.complain(finding) }
        print("\(files.count) scenarios with \(submits) submits, \(sweeps.count) kinds of VM")
        for line in report.lines { print(line) }
        if withoutScene > 0 {
            print(
                "\(withoutScene) requests are refused before they are an array, or on a failed VM")
        }
        guard report.findings.isEmpty else { throw ExitCode(1) }
        guard report.points > 0 else {
            Terminal.complain("no point was visited")
            throw ExitCode.unusable
        }
    }

    private func next(
        _ scenes: inout FixtureScenes, _ step: ScenarioStep
    ) throws(UnusableInput) -> SweepScene? {
        do throws(TargetLost) {
            return try scenes.play(step)
        } catch {
            throw UnusableInput(line: step.line, column: 1, message: error.message)
        }
    }

    private func grounds() throws(ExitCode) -> [any SweepGround] {
        if backend == .simulated { return DirtyLogProtection.allCases.map { SimulatedGround($0) } }
        do throws(KVMError) {
            return [try KVMGround()]
        } catch {
            Terminal.complain("\(error)")
            throw .noKVM
        }
    }
}
