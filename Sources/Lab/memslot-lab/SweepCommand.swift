import ArgumentParser
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotScenario
import MemslotService
import MemslotSimulator
internal import Memslots

struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep", abstract: "Inject every fault into every submit of scenarios.",
        discussion: """
            Fails each operation of each submit with each errno that a kernel may return, once and \
            from then on; also the operations of the undo and of the recovery, changes of memory \
            attributes, which every third submit gets, the reads of dirty logs, hooks, and vCPUs and \
            readers that do not leave. After each fault, the installed slots, the generation, the \
            dirty pages, the calls of hooks, the readers' array and the picked ids must be as before, \
            or the VM must be failed and recover. A vhost-user back end refuses, dies or lies at each \
            message, or is late at the first: then the outcome is the old array or the new one.

            With --backend kvm no guest runs: each point has its own KVM VM, whose logs begin full.

            Exit status: 0 all held; 1 something did not; 2 the input can't be used; 3 no /dev/kvm.
            """)

    @Option(help: "The kind of VMs: simulated, the default, or kvm.")
    var backend = LabBackend.simulated

    @Option(help: "Visit one point in N; 1, the default, visits all.") var sample = 1

    @Option(
        help: ArgumentHelp(
            "In a plan with more operations than this, errnos and second faults are sampled.",
            valueName: "n"))
    var longest = 40

    @Flag(help: "Submit with quiesce continuity, instead of as the scenarios do.")
    var continuity = false

    @Option(help: "The kind of host of every simulated VM, such as arm64-64k.")
    var profile: HostProfile?

    @Argument(help: "Scenarios.", completion: .file()) var files: [String]

    func validate() throws {
        guard sample > 0, longest > 0 else {
            throw ValidationError("--sample and --longest must be at least 1")
        }
    }

    func run() throws {
        let sweeps = try factories().map { factory in
            FaultSweep(on: factory, longest: longest, separately: backend == .kvm, every: sample)
        }
        var swept: [SweepScene] = []
        var submits = 0
        var withoutScene = 0
        for file in files {
            let input = try InputFile(file)
            var lines = ScenarioReader(LineReader(descriptor: input.descriptor))
            var scenes = FixtureScenes(file, host: profile.map { [("profile", $0.rawValue)] } ?? [])
            do throws(UnusableInput) {
                while let step = try lines.next() {
                    let scene = try converting(
                        { (error: TargetLost) in
                            UnusableInput(line: step.line, column: 1, message: error.message)
                        }, scenes.play(step))
                    guard var scene else { continue }
                    if continuity { scene.quiesce = .continuity }
                    swept.append(scene)
                }
            } catch { throw input.unusable(error) }
            submits += scenes.submits
            withoutScene += scenes.withoutScene
        }
        let report = FaultSweep.sweep(swept, by: sweeps)
        for finding in report.findings.prefix(100) { Terminal.complain(finding) }
        print("\(files.count) scenarios with \(submits) submits, \(sweeps.count) kinds of VM")
        for line in report.lines { print(line) }
        if withoutScene > 0 {
            print("\(withoutScene) requests were refused before validation, or on a failed VM")
        }
        guard report.findings.isEmpty else { throw ExitCode.failure }
        guard report.points > 0 else {
            Terminal.complain("no point was visited")
            throw ExitCode.unusable
        }
    }

    private func factories() throws -> [any VMFactory] {
        switch backend {
        case .simulated: DirtyLogProtection.allCases.map { SimulatedVMFactory($0) }
        case .kvm: [try KVMFactory(system: KVMSystem())]
        }
    }
}
