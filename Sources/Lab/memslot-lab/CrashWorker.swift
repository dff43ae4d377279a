import MemslotProtocol
import MemslotService
import MemslotTestKit

/// Changes one VM until the daemon is gone, and remembers the replies. Unchecked: its own thread
/// uses it while that runs, otherwise the command.
final class CrashWorker: @unchecked Sendable {
    /// A VM as `memslots.get` and `memory.list` return it.
    struct Known: Equatable {
        var generation: UInt64
        var slots: String
        var memories: [String]

        var text: String { "generation \(generation) \(slots) \(memories)" }
    }

    let vm: String
    /// The VM after the last reply; `nil` if there is no VM.
    private(set) var replied: Known?
    /// The VM after the request without a reply; the outer `nil` if there is no such request.
    private(set) var pending: Known??
    private(set) var replies = 0
    private(set) var refusal: String?
    private let backend: String
    private var random: SeededRandom

    init(number: Int, seed: UInt64, backend: String) {
        vm = "crash-\(number)"
        random = SeededRandom(seed: seed)
        self.backend = backend
    }

    func resume(from found: Known?) { (replied, pending) = (found, nil) }

    func run(_ socket: SocketPath) {
        do throws(TargetLost) {
            var client = try ClientConnection(socket)
            while refusal == nil { try step(&client) }
        } catch {}  // The daemon was killed; `pending` keeps the request without a reply.
    }

    func read(_ client: inout ClientConnection) throws(TargetLost) -> Known? {
        let params = Array(#"{"vm":"\#(vm)"}"#.utf8)
        let table = try client.call(.memslotsGet, params: params).value?["result"]
        guard let table else { return nil }
        let list = try client.call(.memoryList, params: params).value?["result"]?["memories"]
        return Known(
            generation: table["generation"]?.uint64 ?? .max, slots: table["slots"]?.rawText ?? "",
            memories: (list.map { Array($0.elements) } ?? []).compactMap { $0["memory"]?.string })
    }

    private func step(_ client: inout ClientConnection) throws(TargetLost) {
        guard let replied else {
            return try ask(
                &client, .vmCreate, #""backend":"\#(backend)""#,
                makes: Known(generation: 0, slots: "[]", memories: []))
        }
        switch random.below(20) {
        case 0: try ask(&client, .vmDestroy, "", makes: nil)
        case 1...3: try changeMemory(&client, replied)
        default: try submit(&client, replied)
        }
    }

    private static let names = ["disk", "ram", "rom"]

    private func changeMemory(
        _ client: inout ClientConnection, _ present: Known
    ) throws(TargetLost) {
        let name = Self.names[Int(random.below(3))]
        var next = present
        guard present.memories.contains(name) else {
            next.memories = (present.memories + [name]).sorted()
            return try ask(
                &client, .memoryCreate,
                #""memory":"\#(name)","size":"0x10000","backing":"memfd""#, makes: next)
        }
        // Destroying a memory in use would be refused.
        guard !present.slots.contains("\"\(name)\"") else { return }
        next.memories.removeAll { $0 == name }
        try ask(&client, .memoryDestroy, #""memory":"\#(name)""#, makes: next)
    }

    private func submit(_ client: inout ClientConnection, _ present: Known) throws(TargetLost) {
        var slots: [String] = []
        for id in 0..<random.below(12) {
            let address = String(id << 24 | random.below(16) << 16, radix: 16)
            let flags = random.below(2) == 0 ? "" : #""log-dirty-pages""#
            guard let memory = present.memories.randomElement(using: &random) else { break }
            let offset = String(random.below(15) << 12, radix: 16)
            slots.append(
                #"{"slot":\#(id),"guestPhysicalAddress":"0x\#(address)","size":"0x1000","#
                    + #""memory":"\#(memory)","memoryOffset":"0x\#(offset)","flags":[\#(flags)]}"#)
        }
        var next = present
        next.slots = "[" + slots.joined(separator: ",") + "]"
        if next.slots != present.slots { next.generation += 1 }
        try ask(&client, .memslotsSubmit, #""slots":\#(next.slots)"#, makes: next)
    }

    private func ask(
        _ client: inout ClientConnection, _ method: Method, _ params: String, makes next: Known?
    ) throws(TargetLost) {
        pending = .some(next)
        let all = #"{"vm":"\#(vm)"\#(params.isEmpty ? "" : ",")\#(params)}"#
        let reply = try client.call(method, params: Array(all.utf8))
        pending = nil
        guard let value = reply.value, value["error"] == nil else {
            refusal = "\(method.rawValue) \(all): \(String(decoding: reply.line, as: UTF8.self))"
            return
        }
        replies += 1
        replied = next
    }
}
