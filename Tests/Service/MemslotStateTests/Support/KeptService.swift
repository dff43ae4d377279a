import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import Synchronization
import Testing

/// A service in this process with a state directory, which another can have once this is gone.
final class KeptService {
    private final class Notes: Sendable {
        let all = Mutex<[StateNote]>([])
    }

    private var service: MemslotService?
    private let seen = Notes()

    init(_ scratch: Scratch, limits: ServiceLimits = ServiceLimits()) throws {
        let seen = seen
        let state = try StateStore(at: scratch.state) { note in
            seen.all.withLock { $0.append(note) }
        }
        let service = MemslotService(limits: limits, state: state)
        try service.restore()
        self.service = service
    }

    /// What was found.
    var notes: [StateNote] { seen.all.withLock { $0 } }

    /// Lets everything go.
    func end() { service = nil }

    /// The response as text.
    func call(_ method: String, _ params: String, user: UInt32 = 0) throws -> String {
        let connection = ServiceConnection(peer: Peer(user: user, connection: 1))
        var writer = JSONWriter()
        let line = #"{"id":1,"method":"\#(method)","params":\#(params)}"#
        let passed = try #require(service).answer(
            IncomingMessage(parsing: Array(line.utf8)), on: connection, into: &writer)
        for descriptor in passed { close(descriptor) }
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// The result as text; a failure is recorded.
    @discardableResult
    func ask(_ method: String, _ params: String, user: UInt32 = 0) throws -> String {
        let line = try call(method, params, user: user)
        return try #require(try JSONDocument(parsing: line).root["result"]?.rawText, "\(line)")
    }

    /// Everything that can be told of the VMs of two users.
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
