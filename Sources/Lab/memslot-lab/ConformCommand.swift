import ArgumentParser
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotScenario

struct ConformCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conform",
        abstract:
            "Carry raw slot calls out on a backend alone, and hold the simulator against KVM.",
        discussion: """
            Each line of FILE is one KVM_SET_USER_MEMORY_REGION call by the kernel's names:
              {"slot":0,"flags":0,"guest_phys_addr":"0x0","memory_size":4096,"userspace_addr":"0x0"}
            guest_memfd and guest_memfd_offset make it a REGION2 call. Standard output gets one \
            {"errno":…} a line. An "errno" in the input is the expected answer.

            With --against kvm, random calls go to the simulator and to the host's KVM, those of \
            the dirty log and a guest's writes too. The first difference is shrunk to the shortest \
            sequence of calls and printed as such lines, with KVM's answers.

            Exit status: 0 all as expected, 1 some differ, 2 the input can't be used, 3 no /dev/kvm.
            """)

    @Option(help: "Carry FILE out on this: simulated, the default, or kvm.")
    var backend: ConformBackend?

    @Option(help: "Hold the simulator against this: kvm.")
    var against: ConformReference?

    @Option(help: "What the random calls are drawn from, with --against.")
    var seed: UInt64 = 1

    @Option(help: "How many random calls, with --against.")
    var count = 50_000

    @Argument(help: "Raw calls; standard input without it.", completion: .file())
    var file: String?

    func validate() throws {
        guard backend == nil || against == nil else {
            throw ValidationError("give either --backend or --against")
        }
        guard against == nil || file == nil else {
            throw ValidationError("--against draws its calls; it takes no FILE")
        }
        guard count >= 0 else { throw ValidationError("--count: not below 0") }
    }

    func run() throws {
        if against != nil { return try compare() }
        try carryOut(InputFile(file ?? "-"), on: (backend ?? .simulated).target())
    }

    private func carryOut(_ input: borrowing InputFile, on target: any RawCallTarget) throws {
        var lines = LineReader(descriptor: input.descriptor)
        var differences = 0
        do throws(UnusableInput) {
            while let line = try lines.next() {
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                let call = try RawCallLine(line: line, number: lines.lineNumber)
                let reply = target.carryOut(call.call)
                var writer = JSONWriter()
                writer.reply(reply)
                Terminal.write(writer.bytes)
                guard let expected = call.expected, !call.isMet(by: reply) else { continue }
                differences += 1
                Terminal.complain(
                    "\(input.name):\(lines.lineNumber): expected \(expected), got \(reply)")
            }
        } catch {
            throw input.unusable(error)
        }
        if differences > 0 {
            Terminal.complain("\(input.name): \(differences) answers differ")
            throw ExitCode(1)
        }
    }

    private func compare() throws {
        let report = try withKVM { system throws(KVMError) in
            var progress = ProgressBar(total: count, shortest: 1)
            defer { progress.end() }
            return try Comparison(with: system).run(seed: seed, count: count) { done in
                progress.show(done)
            }
        }
        let answers = report.answers.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let summary = "seed \(seed): \(report.calls) calls compared (\(answers))"
        guard let difference = report.difference else {
            print("\(summary): no difference")
            return
        }
        var writer = JSONWriter()
        for line in difference.lines { writer.rawCall(line) }
        Terminal.write(writer.bytes)
        Terminal.complain("\(summary); shrunk to \(difference.lines.count) calls")
        Terminal.complain(difference.description)
        throw ExitCode(1)
    }
}

/// What raw calls are carried out on.
enum ConformBackend: String, ExpressibleByArgument, CaseIterable {
    case simulated
    case kvm

    /// A fresh VM.
    func target() throws -> any RawCallTarget {
        switch self {
        case .simulated: SimulatedTarget()
        case .kvm:
            try withKVM { system throws(KVMError) in try KernelTarget(system: system) }
        }
    }
}

/// What the simulator is held against.
enum ConformReference: String, ExpressibleByArgument, CaseIterable {
    case kvm
}

/// Gives `body` the host's KVM; without it, tells why and ends with the exit status for that.
private func withKVM<R>(_ body: (KVMSystem) throws(KVMError) -> R) throws(ExitCode) -> R {
    do throws(KVMError) {
        return try body(try KVMSystem())
    } catch {
        Terminal.complain("\(error)")
        throw .noKVM
    }
}
