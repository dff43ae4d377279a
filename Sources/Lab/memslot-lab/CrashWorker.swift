import MemslotProtocol
import MemslotService

/// A client that changes one VM until the daemon is gone, and knows what it was told.
///
/// Unchecked, because it is used by its own thread while that runs, and by the command else.
final class CrashWorker: @unchecked Sendable {
    /// A VM as `memslots.get` and `memory.list` tell it.
    struct Known: Equatable {
        var generation: UInt64
        var slots: String
        var memories: [String]

        var text: String { "generation \(generation) \(slots) \(memories)" }
    }

    let vm: String
    /// What the last answer made of the VM; `nil` where there is none.
    private(set) var told: Known?
    /// What the request under way would make of it; the outer `nil` where there is no such request.
    private(set) var pending: Known??
    private(set) var answered = 0
    /// A refusal, which there is no reason for.
    private(set) var refusal: String?
    private let backend: String
    private var random: CrashRandom

    init(number: Int, seed: UInt64, backend: String) {
        vm = "crash-\(number)"
        random = CrashRandom(seed: seed)
        self.backend = backend
    }

    /// The daemon keeps nothing.
    func forget() { (told, pending) = (nil, nil) }

    /// Takes what was found for what is there.
    func goOn(from found: Known?) { (told, pending) = (found, nil) }

    /// Sends one request after the other until nobody answers.
    func run(_ socket: SocketPath) {
        do throws(TargetLost) {
            var client = try ClientConnection(socket)
            while refusal == nil { try step(&client) }
        } catch {
            // It was killed: what is under way stays so.
            return
        }
    }

    /// What is there of the VM.
    func look(_ client: inout ClientConnection) throws(TargetLost) -> Known? {
        let params = Array(#"{"vm":"\#(vm)"}"#.utf8)
        let table = try client.call("memslots.get", params: params).value?["result"]
        guard let table else { return nil }
        let list = try client.call("memory.list", params: params).value?["result"]?["memories"]
        return Known(
            generation: table["generation"]?.uint64 ?? .max,
            slots: table["slots"]?.rawText ?? "",
            memories: (list.map { Array($0.elements) } ?? []).compactMap { $0["memory"]?.string })
    }

    private func step(_ client: inout ClientConnection) throws(TargetLost) {
        guard let told else {
            return try ask(
                &client, "vm.create", #""backend":"\#(backend)""#,
                makes: Known(generation: 0, slots: "[]", memories: []))
        }
        switch random.below(20) {
        case 0: try ask(&client, "vm.destroy", "", makes: nil)
        case 1...3: try changeMemory(&client, told)
        default: try submit(&client, told)
        }
    }

    private static let names = ["disk", "ram", "rom"]

    private func changeMemory(
        _ client: inout ClientConnection, _ told: Known
    ) throws(TargetLost) {
        let name = Self.names[Int(random.below(3))]
        var next = told
        guard told.memories.contains(name) else {
            next.memories = (told.memories + [name]).sorted()
            return try ask(
                &client, "memory.create",
                #""memory":"\#(name)","size":"0x10000","backing":"memfd""#, makes: next)
        }
        // One in use is refused, and that is no fault.
        guard !told.slots.contains("\"\(name)\"") else { return }
        next.memories.removeAll { $0 == name }
        try ask(&client, "memory.destroy", #""memory":"\#(name)""#, makes: next)
    }

    private func submit(_ client: inout ClientConnection, _ told: Known) throws(TargetLost) {
        var slots: [String] = []
        for id in 0..<random.below(12) {
            let address = String(id << 24 | random.below(16) << 16, radix: 16)
            let flags = random.below(2) == 0 ? "" : #""log-dirty-pages""#
            let memory =
                told.memories.isEmpty
                ? nil : told.memories[Int(random.below(UInt64(told.memories.count)))]
            guard let memory else { break }
            let offset = String(random.below(15) << 12, radix: 16)
            slots.append(
                #"{"slot":\#(id),"guestPhysicalAddress":"0x\#(address)","size":"0x1000","#
                    + #""memory":"\#(memory)","memoryOffset":"0x\#(offset)","flags":[\#(flags)]}"#)
        }
        var next = told
        next.slots = "[" + slots.joined(separator: ",") + "]"
        if next.slots != told.slots { next.generation += 1 }
        try ask(&client, "memslots.submit", #""slots":\#(next.slots)"#, makes: next)
    }

    private func ask(
        _ client: inout ClientConnection, _ method: String, _ params: String, makes next: Known?
    ) throws(TargetLost) {
        pending = .some(next)
        let all = #"{"vm":"\#(vm)"\#(params.isEmpty ? "" : ",")\#(params)}"#
        let answer = try client.call(method, params: Array(all.utf8))
        pending = nil
        guard let value = answer.value, value["error"] == nil else {
            refusal = "\(method) \(all): \(String(decoding: answer.line, as: UTF8.self))"
            return
        }
        answered += 1
        told = next
    }
}
