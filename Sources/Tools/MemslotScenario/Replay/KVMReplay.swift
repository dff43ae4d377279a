import MemslotProtocol
import Memslots

/// Decides which lines of a scenario to skip on KVM: those that need a simulator or more than the
/// host has, and then those of a VM that a skipped line would have changed.
struct KVMReplay {
    let host: HostLimits
    private(set) var vms: [Name: ReplayedVM] = [:]

    /// KVM allocates about 8 bytes per page; hosts have no memory for arrays of any size.
    private static let mostBytes: UInt64 = 1 << 39

    enum Verdict: Equatable {
        case play
        /// Send it unchanged: its error is about the backend that it names.
        case playUnchanged
        case skip(String)
    }

    mutating func verdict(on request: ScenarioRequest, line: Int) -> Verdict {
        if request.method == Method.vmCreate.rawValue { return create(request, line) }
        if request.method == Method.vmList.rawValue {
            guard let vm = vms.values.first(where: { $0.isOutOfStep }) else { return .play }
            return .skip("a VM is not as the list would have it: \(vm.reason)")
        }
        guard let name = request.vm, var vm = vms[Name(name)] else { return .play }
        let verdict = lineVerdict(request, &vm, line)
        vms[Name(name)] = request.method == Method.vmDestroy.rawValue ? nil : vm
        return verdict
    }

    /// Removes the mismatches that the host explains; gives the reason if the line is skipped.
    mutating func excuse(
        _ mismatches: [ScenarioExpectation.Mismatch], of request: ScenarioRequest,
        reply: JSONValue, line: Int
    ) -> (mismatches: [ScenarioExpectation.Mismatch], skipped: String?) {
        let vm = request.vm.flatMap { vms[Name($0)] }
        let left = mismatches.filter { mismatch in
            !Self.namesBackend(mismatch.path) && !(vm?.excuses(mismatch.path) ?? false)
        }
        guard !left.isEmpty, let name = request.vm, let vm else { return (left, nil) }
        let reason: String
        if reply.errorKind == ErrorKind.rolledBack.name,
            reply["error"]?["data"]?["errno"]?.isString("ENOMEM") ?? false
        {
            reason = "the kernel has no memory for slots of this size"
        } else if reply.errorKind == ErrorKind.backendUnavailable.name {
            reason = "the host has no such memory"
        } else {
            let kinds = host.kindsThatDiffer(from: vm.asked)
            let reported = (request.expect?.kinds ?? []).union(reply.kinds)
            guard let kind = kinds.intersection(reported).sorted().first else { return (left, nil) }
            reason = "this host decides \(kind) differently"
        }
        if request.expectsError != (reply["error"] != nil) {
            vms[Name(name)]?.fallOutOfStep("line \(line) was skipped: \(reason)")
        }
        return ([], reason)
    }

    private mutating func create(_ request: ScenarioRequest, _ line: Int) -> Verdict {
        guard let parameters = try? VMCreateParameters(request.params) else {
            // KVM refuses it in the same way.
            return .playUnchanged
        }
        if let path = request.expect?["error"]?["data"]?["path"]?.string,
            path.hasPrefix("simulated")
        {
            return .skip("its error is about the simulator only")
        }
        let present = vms[Name(parameters.vm)]
        guard !request.expectsError else {
            return present.map { $0.isOutOfStep ? .skip($0.reason) : .play } ?? .play
        }
        let lack = host.lack(for: parameters.simulated)
        vms[Name(parameters.vm)] = ReplayedVM(
            asked: parameters.simulated,
            lack: lack.map { _ in "its VM was not created at line \(line)" })
        return lack.map { .skip($0) } ?? .play
    }

    private func lineVerdict(
        _ request: ScenarioRequest, _ vm: inout ReplayedVM, _ line: Int
    ) -> Verdict {
        switch Method(rawValue: request.method) {
        case .guestTouch, .faultInject:
            // Parameters are validated before the backend.
            if request.expectedKind == ErrorKind.invalidParams.name { return .play }
            if !request.expectsError { vm.skipSimulatorLine(request, line) }
            return .skip("for the simulator only")
        case .vmDestroy: return vm.isCreated ? .play : .skip(vm.reason)
        case .vmRecover where vm.hasNotFailed:
            defer { vm.recover() }
            return .skip(vm.reason)
        case .memslotsSubmit, .memslotsPlan:
            if let reason = vm.reasonNotToSubmit(request, line) { return .skip(reason) }
            return arrayVerdict(request, &vm, line)
        case .dirtylogGet where !request.expectsError:
            if let reason = vm.reasonNotToReadLog { return .skip(reason) }
        default: break
        }
        return vm.isOutOfStep ? .skip(vm.reason) : .play
    }

    private func arrayVerdict(
        _ request: ScenarioRequest, _ vm: inout ReplayedVM, _ line: Int
    ) -> Verdict {
        var bytes: UInt64 = 0
        var flags: [String] = []
        for slot in request.params?["slots"]?.elements.map({ $0 }) ?? [] {
            bytes = bytes.addingSaturated((try? slot["size"]?.quantity.get()) ?? 0)
            flags += slot["flags"]?.elements.compactMap(\.string) ?? []
        }
        let asked = vm.asked.flags.names
        if let flag = flags.first(where: { host.flags.contains($0) && !asked.contains($0) }) {
            return .skip("the host has \(flag) slots, the requested VM does not")
        }
        let isPrivate = (request.params?["attributes"]?.elements.count ?? 0) > 0
        let lack: String? =
            isPrivate && !host.hasMemoryAttributes
            ? "the host's VMs have no private ranges"
            : bytes > Self.mostBytes && !request.expectsError
                ? "KVM would allocate too much for \(bytes >> 30) GiB of slots" : nil
        guard let reason = lack else { return .play }
        if !request.expectsError, request.method == Method.memslotsSubmit.rawValue {
            vm.fallOutOfStep("line \(line) was skipped: \(reason)")
        }
        return .skip(reason)
    }

    private static func namesBackend(_ path: String) -> Bool {
        path == "result.backend" || path.hasPrefix("result.capabilities")
            || path.hasPrefix("result.vms[") && path.hasSuffix("].backend")
    }
}

struct HostLimits: Sendable {
    /// The host's numbers; its profile, its kernel and its pages are those of any host.
    private var limits = SimulatedParameters()
    fileprivate let flags: [String]
    /// Whether guest ranges can be private.
    let hasMemoryAttributes: Bool

    /// Decodes `backends.kvm.capabilities`; `nil` if it is missing.
    init?(_ capabilities: JSONValue?) {
        guard let capabilities, let maxSlots = capabilities["maxSlots"]?.uint64,
            let addressSpaces = capabilities["addressSpaces"]?.uint64,
            let bits = capabilities["guestPhysicalBits"]?.uint64,
            let end = capabilities["userspaceEnd"]?.string, end.hasPrefix("0x"),
            let userspaceEnd = UInt64(end.dropFirst(2), radix: 16)
        else { return nil }
        limits.maxSlots = UInt32(clamping: maxSlots)
        limits.addressSpaces = UInt32(clamping: addressSpaces)
        limits.guestPhysicalBits = UInt32(clamping: bits)
        limits.userspaceEnd = UserspaceAddress(userspaceEnd)
        hasMemoryAttributes = capabilities["memoryAttributes"]?.bool == true
        flags = (capabilities["flags"]?.elements).map { $0.compactMap(\.string) } ?? []
    }

    /// What the scenario's VM needs and this host lacks; limits left at their default may differ.
    func lack(for asked: SimulatedParameters) -> String? {
        let usual = SimulatedParameters()
        func differs<Limit: Equatable>(_ limit: KeyPath<SimulatedParameters, Limit>) -> Bool {
            ![limits[keyPath: limit], usual[keyPath: limit]].contains(asked[keyPath: limit])
        }
        if let profile = asked.profile, profile != .x86 {
            return "the VM has the rules of \(profile.rawValue)"
        }
        if asked.kernel != usual.kernel { return "the VM has the rules of Linux \(asked.kernel)" }
        if asked.pageSize != usual.pageSize { return "the VM has pages of \(asked.pageSize) bytes" }
        if asked.addressSpaces > limits.addressSpaces {
            return "the host has \(limits.addressSpaces) address space, the VM needs "
                + "\(asked.addressSpaces)"
        }
        if let missing = asked.flags.names.first(where: { !flags.contains($0) }) {
            return "the host has no \(missing) slots"
        }
        if differs(\.maxSlots) {
            return "the host has \(limits.maxSlots) slots, the VM needs \(asked.maxSlots)"
        }
        if differs(\.guestPhysicalBits) {
            return "the host has \(limits.guestPhysicalBits) guest physical bits, the VM needs "
                + "\(asked.guestPhysicalBits)"
        }
        return differs(\.userspaceEnd)
            ? "the host's user space ends at \(limits.userspaceEnd), the VM's at "
                + "\(asked.userspaceEnd)" : nil
    }

    /// The kinds of faults that this host reports for other values than the requested VM.
    func kindsThatDiffer(from asked: SimulatedParameters) -> Set<String> {
        // KVM's own pages and guest_memfd always differ from a simulator.
        var kinds: Set<ErrorKind> = [.reservedAddress, .guestMemfdMissing]
        if asked.addressSpaces != limits.addressSpaces { kinds.insert(.badAddressSpace) }
        if asked.maxSlots != limits.maxSlots { kinds.formUnion([.slotOutOfRange, .tooManySlots]) }
        if asked.guestPhysicalBits != limits.guestPhysicalBits { kinds.insert(.addressTooLarge) }
        if asked.userspaceEnd != limits.userspaceEnd { kinds.insert(.badUserspaceAddress) }
        return Set(kinds.map(\.name))
    }
}
