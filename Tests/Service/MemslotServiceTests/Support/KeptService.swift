import Glibc
import MemslotProtocol
import MemslotService
import Synchronization
import TestSupport
import WireTestSupport

/// A service in this process with a state directory, which another service can use after its end.
final class KeptService {
    private final class Notes: Sendable {
        let all = Mutex<[StateEvent]>([])
    }

    private var service: MemslotService?
    private let seen = Notes()

    init(_ scratch: ScratchDirectory, limits: ServiceLimits = ServiceLimits()) throws {
        let seen = seen
        let state = try StateStore(at: scratch.state) { note in
            seen.all.withLock { $0.append(note) }
        }
        let service = MemslotService(limits: limits, state: state)
        try service.restore()
        self.service = service
    }

    /// What the service reported about the directory.
    var notes: [StateEvent] { seen.all.withLock { $0 } }

    /// Ends the service.
    func end() { service = nil }

    /// Calls a method.
    ///
    /// - Returns: the reply as text.
    func call(_ method: String, _ params: String, user: UInt32 = 0) throws -> String {
        guard let service else { throw TargetLost("the service has ended") }
        let reply = try WireClient(service, user: user).call(method, params)
        for descriptor in reply.descriptors { close(descriptor) }
        return reply.line
    }

    /// Calls a method that must succeed.
    ///
    /// - Returns: the result as text.
    @discardableResult
    func ask(_ method: String, _ params: String, user: UInt32 = 0) throws -> String {
        guard let service else { throw TargetLost("the service has ended") }
        return try WireClient(service, user: user).result(method, params).rawText
    }

    /// Returns everything that the wire shows of the VMs of two users.
    func all() throws -> String {
        var text = ""
        for user: UInt32 in [0, 7] {
            let list = try ask("vm.list", "{}", user: user)
            text += list
            for vm in try JSONDocument(parsing: list).root["vms"].map({ Array($0.elements) }) ?? []
            {
                let params = #"{"vm":"\#(vm["vm"]?.string ?? "")"}"#
                text += try ask("memslots.get", params, user: user)
                text += try ask("memory.list", params, user: user)
            }
        }
        return text
    }
}
