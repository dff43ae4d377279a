import ArgumentParser
import MemslotProtocol
import MemslotSimulator
import Memslots

struct ConformCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conform",
        abstract: "Carry raw slot calls out on a backend alone, and print their errno.",
        discussion: """
            Each line of FILE is one KVM_SET_USER_MEMORY_REGION call by the kernel's names:
              {"slot":0,"flags":0,"guest_phys_addr":"0x0","memory_size":4096,"userspace_addr":"0x0"}
            guest_memfd and guest_memfd_offset make it a REGION2 call. Standard output gets one \
            {"errno":…} a line. An "errno" in the input is the expected answer.

            Exit status: 0 all as expected, 1 some differ, 2 the input can't be used, 3 no /dev/kvm.
            """)

    @Option(help: "simulated or kvm.")
    var backend: ConformBackend

    @Argument(help: "Raw calls; standard input without it.", completion: .file())
    var file: String = "-"

    func run() throws {
        let input = try InputFile(file)
        let vm = try backend.rawVM()
        var lines = LineReader(descriptor: input.descriptor)
        var differences = 0
        do throws(UnusableInput) {
            while let line = try lines.next() {
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                let operation = try RawOperation(line: line, number: lines.lineNumber)
                let answer = RawAnswer(vm.setUserMemoryRegion(operation.region))
                var writer = JSONWriter()
                writer.answer(answer)
                Terminal.write(writer.bytes)
                guard let expected = operation.expected, expected != answer else { continue }
                differences += 1
                Terminal.complain(
                    "\(input.name):\(lines.lineNumber): expected \(expected.word), got \(answer.word)"
                )
            }
        } catch {
            throw input.unusable(error)
        }
        if differences > 0 {
            Terminal.complain("\(input.name): \(differences) answers differ")
            throw ExitCode(1)
        }
    }
}

/// What raw calls are carried out on.
enum ConformBackend: String, ExpressibleByArgument, CaseIterable {
    case simulated
    case kvm

    /// A fresh VM.
    func rawVM() throws -> any RawSlotCalls {
        switch self {
        case .simulated: return SimulatedRawVM()
        case .kvm:
            Terminal.complain("this build has no KVM backend")
            throw ExitCode.noKVM
        }
    }
}

extension RawAnswer {
    /// The errno's name, or `success`.
    fileprivate var word: String { errno?.name ?? "success" }
}
