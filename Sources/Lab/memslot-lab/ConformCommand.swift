public import ArgumentParser
import MemslotKVM
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotSimulator
public import Memslots

struct ConformCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conform",
        abstract: "Apply raw slot calls to a backend alone, and compare the simulator with KVM.",
        discussion: """
            Each line of FILE is one KVM_SET_USER_MEMORY_REGION call with the kernel's names:
              {"slot":0,"flags":0,"guest_phys_addr":"0x0","memory_size":4096,"userspace_addr":"0x0"}
            guest_memfd and guest_memfd_offset make it a REGION2 call. Prints one {"errno":…} a \
            line. An "errno" in the input is the expected result. On KVM a result is skipped, by name, \
            where the simulator with this host's limits has it too, and with other limits the \
            expected one.

            With --against kvm, applies FILE to KVM and to the simulator, and compares both with \
            each other and with the expected results; prints KVM's. Without FILE, sends random calls to the simulator and to the host's KVM, \
            including those of the dirty log and a guest's writes. Shrinks the first difference to \
            the shortest sequence of calls and prints it as such lines with KVM's results.

            Exit status: 0 all as expected; 1 some differ; 2 the input can't be used; 3 no /dev/kvm.
            """)

    @Option(help: "The backend that FILE is applied to: simulated, the default, or kvm.")
    var backend: LabBackend?

    @Option(help: "The kind of host of the simulator, such as arm64-64k; for FILE and --draw.")
    var profile: HostProfile?

    @Option(help: "The version of Linux of the simulator, such as 6.18; for FILE and --draw.")
    var kernel: KernelVersion?

    @Option(help: "The bits of a guest physical address of the simulator; for FILE and --draw.")
    var guestBits: UInt32?

    @Flag(help: "Print random calls, with the simulator's replies.") var draw = false

    @Option(help: "Compare the simulator with this: kvm.") var against: ConformReference?

    @Option(help: "The seed of the random calls, with --against and --draw.") var seed: UInt64 = 1

    @Option(help: "The number of random calls, with --against and --draw.") var count = 50_000

    @Argument(help: "Raw calls; by default standard input.", completion: .file()) var file: String?

    func validate() throws {
        guard backend == nil || against == nil else {
            throw ValidationError("give either --backend or --against")
        }
        guard !hasHost && !draw || backend != .kvm && against == nil else {
            throw ValidationError("a host of KVM's has its own --profile and --kernel")
        }
        guard count >= 0 else { throw ValidationError("--count must be at least 0") }
    }

    func run() throws {
        if against != nil, file == nil { return try compare() }
        if draw { return try drawCalls() }
        let input = try InputFile(file ?? "-")
        guard against == .kvm || backend == .kvm else {
            let capabilities = try simulated()
            return try apply(
                input, to: SimulatedRawVM(capabilities: capabilities), limits: capabilities)
        }
        let system = try KVMSystem()
        let limits = try KernelTarget.capabilities(of: system)
        try apply(
            input, to: KernelTarget(system: system), twin: SimulatedRawVM(capabilities: limits),
            limits: limits)
    }

    /// Compares results with the expected ones, and those of a twin with the target's limits.
    private func apply(
        _ input: borrowing InputFile, to target: any RawCallTarget, twin: SimulatedRawVM? = nil,
        limits: Capabilities = SimulatedRawVM.recordedKernel
    ) throws {
        var lines = LineReader(descriptor: input.descriptor)
        var differences = 0
        // Hosts on which a recording may have been made.
        let others = [SimulatedRawVM(), SimulatedRawVM(capabilities: .widest)]
        var slots: [SlotKey: Memslot] = [:]
        do throws(UnusableInput) {
            while let line = try lines.next() {
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                let call = try RawCallLine(line: line, number: lines.lineNumber)
                let reply = target.apply(call.call)
                var writer = JSONWriter()
                writer.reply(reply)
                Terminal.write(writer.bytes)
                let place = "\(input.name):\(lines.lineNumber)"
                let own = twin?.apply(call.call)
                let elsewhere = others.map { $0.apply(call.call) }
                let before = Array(slots.values)
                if case .setRegion(let region) = call.call, reply.errno == nil {
                    let slot = Memslot(region)
                    slots[slot.assignedKey] = slot.size == .zero ? nil : slot
                }
                if let expected = call.expected, !call.isMet(by: reply) {
                    if own == reply, elsewhere.contains(where: { call.isMet(by: $0) }) {
                        Terminal.complain(
                            "\(place): skipped: \(expected) is of a host with other limits, got \(reply)"
                        )
                        continue
                    }
                    differences += 1
                    Terminal.complain("\(place): expected \(expected), got \(reply)")
                    explain(call.call, reply.errno ?? expected.errno, before, limits)
                }
                if against != nil, let other = own, other != reply {
                    differences += 1
                    Terminal.complain("\(place): KVM \(reply), the simulator \(other)")
                    explain(call.call, reply.errno ?? other.errno, before, limits)
                }
            }
        } catch { throw input.unusable(error) }
        if differences > 0 {
            Terminal.complain("\(input.name): \(differences) results differ")
            throw ExitCode.failure
        }
    }

    /// Prints why a slot call fails with `errno` on `slots`.
    private func explain(
        _ call: RawCall, _ errno: Errno?, _ slots: [Memslot], _ limits: Capabilities
    ) {
        guard case .setRegion(let region) = call, let errno else { return }
        let attempt = AttemptedCall(region, slots: slots, limits: limits)
        Terminal.complain("  \(Explanation(attempt, errno: errno.name))")
    }

    private var hasHost: Bool { profile != nil || kernel != nil || guestBits != nil }

    /// The limits of the simulated host.
    private func simulated() throws -> Capabilities {
        guard hasHost || draw else { return SimulatedRawVM.recordedKernel }
        var host = SimulatorConfiguration(profile: profile ?? .x86, kernel: kernel)
        host.flags = (profile ?? .x86).flags(host.kernel)
        host.guestPhysicalBits = guestBits ?? host.guestPhysicalBits
        var capabilities = try host.capabilities()
        // A raw call names its file.
        capabilities.providesGuestMemfd = false
        return capabilities
    }

    /// Prints random calls to one VM, for a host on which this program does not run.
    private func drawCalls() throws {
        let capabilities = try simulated()
        let hasRegion2 = (kernel ?? .default) >= KernelVersion(6, 8)
        var comparison = Comparison(
            capabilities: capabilities, hasRegion2: hasRegion2, hasGuest: false
        ) { PrintingTarget(SimulatedRawVM(capabilities: capabilities)) }
        comparison.callsPerVM = count
        _ = try comparison.run(seed: seed, count: count)
    }

    private func compare() throws {
        var progress = ProgressBar(total: count, shortest: 1)
        defer { progress.end() }
        let report = try Comparison(with: KVMSystem()).run(seed: seed, count: count) {
            progress.show($0)
        }
        progress.end()
        let results = report.results.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let summary = "seed \(seed): \(report.calls) calls compared (\(results))"
        guard let difference = report.difference else {
            return print("\(summary): no difference")
        }
        var writer = JSONWriter()
        for line in difference.lines { writer.rawCall(line) }
        Terminal.write(writer.bytes)
        Terminal.complain("\(summary); shrunk to \(difference.lines.count) calls")
        Terminal.complain(difference.description)
        throw ExitCode.failure
    }
}

extension HostProfile: ExpressibleByArgument {}

extension KernelVersion: ExpressibleByArgument {
    /// As ``init(_:)``.
    public init?(argument: String) { self.init(argument) }
}

/// Prints each call with its reply.
private final class PrintingTarget: RawCallTarget {
    private let target: SimulatedRawVM

    init(_ target: SimulatedRawVM) { self.target = target }

    func apply(_ call: RawCall) -> RawReply {
        let reply = target.apply(call)
        var writer = JSONWriter()
        writer.rawCall(RawCallLine(call, expected: reply))
        Terminal.write(writer.bytes)
        return reply
    }

    func difference(from slots: [Memslot], protection: UInt64) -> String? { nil }
}

enum ConformReference: String, ExpressibleByArgument, CaseIterable { case kvm }

extension Capabilities {
    /// The limits of no host: whatever one permits, these permit.
    fileprivate static let widest = Capabilities(
        maxSlots: 32_767, addressSpaces: 1 << 16, maxGuestPage: (1 << 52) - 1,
        userspaceEnd: UserspaceAddress(1 << 63), flags: [.logDirtyPages, .readOnly, .guestMemfd])
}
