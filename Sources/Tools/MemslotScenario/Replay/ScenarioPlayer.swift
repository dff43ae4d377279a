import Glibc
package import MemslotProtocol
package import MemslotService
import Memslots

/// Plays a scenario line by line, and holds each answer against what the line expects.
package struct ScenarioPlayer {
    /// What came of one request line.
    package struct Played: Sendable {
        /// The line's number in the file.
        package let line: Int
        /// The method.
        package let method: String
        /// The VM that the line names.
        package let vm: String?
        /// The response; `nil` where the line was skipped.
        package let response: JSONValue?
        /// How the answer differs from what was expected.
        package let mismatches: [ScenarioExpectation.Mismatch]
        /// Why the line was skipped; `nil` where it was played.
        package let skipped: String?
        /// How many kernel calls the recorded VMM made for this line.
        package let recordedOperations: UInt64?
    }

    private var target: any ScenarioTarget
    private let backend: BackendChoice?
    private var replay: KVMReplay?
    private var hasAskedHost = false
    private var nextID = 1
    private var pendingRecorded: UInt64?

    /// Plays to `target`.
    ///
    /// On KVM, by ``BackendChoice/kvm`` or ``BackendChoice/auto``, lines that only a simulator can
    /// play are skipped, with what follows from them.
    ///
    /// - Parameter backend: replaces the backend of each `vm.create`; `nil` leaves it.
    package init(_ target: any ScenarioTarget, backend: BackendChoice? = nil) {
        self.target = target
        self.backend = backend
    }

    /// Plays a step; `nil` for one that is no request.
    ///
    /// - Throws: where the target is gone, or answers with something that is no response.
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
            if case .skip(let reason) = verdict {
                return played(step.line, request, skipped: reason)
            }
            let response = try exchange(
                request, backend: verdict == .playUnchanged ? nil : backend)
            let mismatches = ScenarioExpectation.mismatches(
                expected: request.expect, response: response)
            let judged =
                replay?.judge(mismatches, of: request, response: response, line: step.line)
                ?? (mismatches: mismatches, skipped: nil)
            return played(
                step.line, request, response: response, mismatches: judged.mismatches,
                skipped: judged.skipped)
        }
    }

    /// Why KVM can't be used where the scenario is to be played on it.
    ///
    /// - Returns: the reason and what to do; `nil` where KVM opens, or where a simulator will do.
    package mutating func kvmUnavailability() throws(TargetLost) -> String? {
        guard let backend, backend != .simulated else { return nil }
        if replay != nil { return nil }
        if hasAskedHost, backend == .auto { return nil }
        hasAskedHost = true
        var line = JSONWriter()
        line.request(
            method: Method.serverInfo.rawValue, id: RequestID(takeID()), params: [UInt8]?.none)
        let kvm = try exchange(line)["result"]?["backends"]?["kvm"]
        replay = HostLimits(kvm?["capabilities"]).map { KVMReplay(on: $0) }
        guard replay == nil, backend == .kvm else { return nil }
        return kvm?["reason"]?.string ?? "the service has no KVM backend"
    }

    private func played(
        _ line: Int, _ request: ScenarioRequest, response: JSONValue? = nil,
        mismatches: [ScenarioExpectation.Mismatch] = [], skipped: String?
    ) -> Played {
        Played(
            line: line, method: request.method, vm: request.params?["vm"]?.string,
            response: skipped == nil ? response : nil, mismatches: mismatches, skipped: skipped,
            recordedOperations: request.isSubmit ? pendingRecorded : nil)
    }

    /// The slots that a VM has now, by its own word; `nil` where it has gone.
    package mutating func slots(of vm: String) throws(TargetLost) -> JSONValue? {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("vm")
        writer.string(vm)
        writer.endObject()
        var line = JSONWriter()
        line.request(
            method: Method.memslotsGet.rawValue, id: RequestID(takeID()), params: writer.bytes)
        return try exchange(line)["result"]?["slots"]
    }

    private mutating func exchange(
        _ request: ScenarioRequest, backend: BackendChoice?
    ) throws(TargetLost) -> JSONValue {
        var writer = JSONWriter()
        request.write(id: takeID(), to: &writer, backend: backend)
        return try exchange(writer)
    }

    private mutating func exchange(_ line: JSONWriter) throws(TargetLost) -> JSONValue {
        let answer = try target.exchange(Array(line.bytes.dropLast()))
        do throws(JSONError) {
            return try JSONDocument(parsing: answer).root
        } catch {
            throw TargetLost("the answer is not JSON: \(error)")
        }
    }

    private mutating func takeID() -> Int {
        defer { nextID += 1 }
        return nextID
    }
}

extension ScenarioRequest {
    /// Whether the line submits an array.
    fileprivate var isSubmit: Bool { method == Method.memslotsSubmit.rawValue }
}

/// What a scenario is played to.
package protocol ScenarioTarget: Sendable {
    /// Sends one request line and gives the response line, both without their ends.
    ///
    /// - Throws: where no response can be had.
    mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8]
}

/// A service in this process.
package struct InProcessTarget: ScenarioTarget {
    private let service: MemslotService
    private let connection = ServiceConnection(peer: Peer())

    /// Plays to `service`.
    package init(_ service: MemslotService) { self.service = service }

    /// Answers in process.
    package mutating func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        let decoder = RequestDecoder(
            depthLimit: service.limits.depth, batchLimit: service.limits.batch)
        return service.execute(decoder.decode(line), on: connection).finish()
    }
}

/// A daemon behind a socket, to play scenarios to. A class, for a connection can't be copied.
package final class SocketTarget: ScenarioTarget {
    // Unchecked use: a target is played to by one thread at a time, as its `mutating` says.
    nonisolated(unsafe) private var connection: ClientConnection

    /// Connects to the socket at `path`.
    ///
    /// - Throws: why not, as a sentence.
    package init(_ path: SocketPath) throws(TargetLost) { connection = try ClientConnection(path) }

    /// Sends a line, and waits for its response; notifications are passed over.
    package func exchange(_ line: [UInt8]) throws(TargetLost) -> [UInt8] {
        try connection.ask(line + [UInt8(ascii: "\n")]).line
    }
}
