package import MemslotProtocol
package import MemslotService
import Memslots

/// Plays a scenario line by line and compares each reply with what the line expects.
package struct ScenarioPlayer {
    package struct Played: Sendable {
        package let line: Int
        package let method: String
        package let vm: String?
        /// The reply; `nil` if the line was skipped.
        package fileprivate(set) var reply: JSONValue?
        package fileprivate(set) var mismatches: [ScenarioExpectation.Mismatch] = []
        /// Why the line was skipped; `nil` if it was played.
        package fileprivate(set) var skipped: String?
        /// The number of kernel calls that the recorded VMM made for this line.
        package let recordedOperations: UInt64?
    }

    private var target: any ScenarioTarget
    private let backend: BackendChoice?
    private let host: [(name: String, value: String)]
    private var replay: KVMReplay?
    private var hasQueriedHost = false
    private var nextID = 1
    private var pendingRecorded: UInt64?

    /// Sends requests to `target`; `backend` and `host` replace those of each `vm.create`. On KVM,
    /// lines that only a simulator can play are skipped, and those that depend on them.
    package init(
        _ target: any ScenarioTarget, backend: BackendChoice? = nil,
        host: [(name: String, value: String)] = []
    ) {
        (self.target, self.backend, self.host) = (target, backend, host)
    }

    /// Plays a step; returns `nil` if it is not a request. Throws if the target is gone.
    package mutating func play(_ step: ScenarioStep) throws(TargetLost) -> Played? {
        switch step.content {
        case .header: return nil
        case .comment(_, let recordedOperations):
            pendingRecorded = recordedOperations ?? pendingRecorded
            return nil
        case .request(let request):
            defer { if request.isSubmit { pendingRecorded = nil } }
            _ = try kvmUnavailability()
            let verdict = replay?.verdict(on: request, line: step.line) ?? .play
            var played = Played(
                line: step.line, method: request.method, vm: request.vm,
                recordedOperations: request.isSubmit ? pendingRecorded : nil)
            if case .skip(let reason) = verdict {
                played.skipped = reason
                return played
            }
            var line = JSONWriter()
            request.write(
                id: makeID(), to: &line, backend: verdict == .playUnchanged ? nil : backend,
                host: host)
            let reply = try exchange(line)
            let mismatches = ScenarioExpectation.mismatches(expected: request.expect, reply: reply)
            (played.mismatches, played.skipped) =
                replay?.excuse(mismatches, of: request, reply: reply, line: step.line)
                ?? (mismatches, nil)
            if played.skipped == nil { played.reply = reply }
            return played
        }
    }

    /// Why the scenario can't be played on KVM; `nil` if KVM opens or is not required.
    package mutating func kvmUnavailability() throws(TargetLost) -> String? {
        guard let backend, backend != .simulated, replay == nil, !hasQueriedHost || backend == .kvm
        else { return nil }
        hasQueriedHost = true
        var line = JSONWriter()
        line.request(
            method: Method.serverInfo.rawValue, id: RequestID(makeID()), params: [UInt8]?.none)
        let kvm = try exchange(line)["result"]?["backends"]?["kvm"]
        replay = HostLimits(kvm?["capabilities"]).map { KVMReplay(host: $0) }
        guard replay == nil, backend == .kvm else { return nil }
        return kvm?["reason"]?.string ?? "the service has no KVM backend"
    }

    /// The slots of a VM, from the target; `nil` if the VM is gone.
    package mutating func slots(of vm: String) throws(TargetLost) -> JSONValue? {
        var line = JSONWriter()
        line.request(.memslotsGet, vm: vm, id: makeID())
        return try exchange(line)["result"]?["slots"]
    }

    private mutating func exchange(_ line: JSONWriter) throws(TargetLost) -> JSONValue {
        let reply = try target.exchange(Array(line.bytes.dropLast()))
        return try converting(
            { (error: JSONError) in TargetLost("the reply is not JSON: \(error)") },
            JSONDocument(parsing: reply).root)
    }

    private mutating func makeID() -> Int {
        defer { nextID += 1 }
        return nextID
    }
}

extension ScenarioRequest {
    fileprivate var isSubmit: Bool { method == Method.memslotsSubmit.rawValue }
}

extension JSONWriter {
    /// Writes a request about a VM on a line of its own.
    package mutating func request(
        _ method: Method, vm: String, id: Int, _ others: (inout JSONWriter) -> Void = { _ in }
    ) {
        var params = JSONWriter()
        params.object {
            $0.member("vm", vm)
            others(&$0)
        }
        request(method: method.rawValue, id: RequestID(id), params: params.bytes)
    }
}

/// Takes a request line and returns the reply line, both without their ends.
package protocol ScenarioTarget: Sendable {
    mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8]
}

package struct InProcessTarget: ScenarioTarget {
    private let service: MemslotService
    private let connection = ServiceConnection(peer: Peer())

    package init(_ service: MemslotService) { self.service = service }

    package mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        let decoder = RequestDecoder(
            depthLimit: service.limits.depth, batchLimit: service.limits.batch)
        return service.respond(to: decoder.decode(line), on: connection).finish()
    }
}

/// A daemon behind a socket, and a scenario's VMs there. A class: a connection can't be copied.
package final class SocketTarget: ScenarioTarget {
    // Unsafe: one thread at a time uses a target, as `mutating` requires.
    nonisolated(unsafe) private var connection: ClientConnection
    nonisolated(unsafe) private var vms: [String] = []

    /// Connects to the socket at `path`, as ``ClientConnection/init(_:serverUser:)``.
    package init(_ path: SocketPath, serverUser: UInt32? = nil) throws(TargetLost) {
        connection = try ClientConnection(path, serverUser: serverUser)
    }

    /// Sends a line and waits for its reply; ignores notifications.
    package func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        try connection.exchange(line + [UInt8(ascii: "\n")]).line
    }

    package func record(_ played: ScenarioPlayer.Played) {
        guard let vm = played.vm, played.reply?["result"] != nil else { return }
        if played.method == Method.vmCreate.rawValue { vms.append(vm) }
        if played.method == Method.vmDestroy.rawValue { vms.removeAll { Name($0) == Name(vm) } }
    }

    /// Destroys the VMs of the recorded lines. If the daemon is gone, so are its VMs.
    package func destroyVMs() {
        for vm in vms {
            var line = JSONWriter()
            line.request(.vmDestroy, vm: vm, id: 0)
            do throws(TargetLost) { _ = try exchange(Array(line.bytes.dropLast())) } catch { break }
        }
        vms = []
    }
}
