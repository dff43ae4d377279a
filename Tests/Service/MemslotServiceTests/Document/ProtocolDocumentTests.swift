import Foundation
import MemslotProtocol
import MemslotSimulator
import Memslots
import TestSupport
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("the protocol's document")
struct ProtocolDocumentTests {
    private let document: ProtocolDocument
    private let schema: JSONSchema

    init() throws {
        document = ProtocolDocument(
            try String(contentsOf: Repository.url("Docs/Protocol.md"), encoding: .utf8))
        schema = try JSONSchema()
    }

    @Test("every exchange is what a client sees")
    func exchanges() throws {
        let clients = try DocumentClients()
        var received: [[[String]]] = []
        for block in document.blocks {
            var answers: [[String]] = []
            for request in block.requests {
                answers.append(try clients.send(request.text, under: block.conditions))
            }
            received.append(answers)
        }
        // To write the document anew after a change that is meant.
        if ProcessInfo.processInfo.environment["MEMSLOTS_REWRITE_DOCUMENT"] != nil {
            try document.rewritten(received).write(
                toFile: Repository.path("Docs/Protocol.md"), atomically: true, encoding: .utf8)
            return
        }
        for (block, answers) in zip(document.blocks, received) {
            for (request, lines) in zip(block.requests, answers) {
                compare(request, lines)
            }
        }
    }

    private func compare(_ request: ProtocolDocument.Request, _ lines: [String]) {
        let place = "Protocol.md:\(request.line)"
        #expect(request.received.count == lines.count, "\(place): \(lines)")
        for (wanted, got) in zip(request.received, lines) {
            guard let wanted = try? JSONDocument(parsing: wanted).root,
                let got = try? JSONDocument(parsing: got).root
            else {
                Issue.record("\(place): no JSON")
                continue
            }
            let difference = DocumentComparison.difference(wanted, got)
            #expect(difference == nil, "\(place): \(difference ?? "")")
        }
    }

    @Test("every message of the exchanges keeps to the schema")
    func messages() throws {
        for request in document.blocks.flatMap(\.requests) {
            let place = "Protocol.md:\(request.line)"
            let sent = try? JSONDocument(parsing: request.text).root
            for line in request.received {
                let message = try JSONDocument(parsing: line).root
                let fault = try schema.fault(of: message)
                #expect(fault == nil, "\(place): \(fault ?? "")")
                if let method = sent?["method"]?.string, let result = message["result"] {
                    let pointer = "#/$defs/results/$defs/\(method)"
                    let fault = try schema.fault(of: result, at: pointer)
                    #expect(fault == nil, "\(place): \(fault ?? "")")
                }
            }
            let codes = request.received.compactMap {
                try? JSONDocument(parsing: $0).root["error"]?["code"]?.int
            }
            guard let sent, sent.kind == .object else { continue }
            let fault = try schema.fault(of: sent)
            // The service refuses what the schema refuses; a descriptor that is missing it can't see.
            if fault != nil { #expect(codes.contains { $0 <= -32600 }, "\(place)") }
        }
    }

    @Test("there is an exchange with a result for every method")
    func methods() throws {
        var shown: Set<String> = []
        for request in document.blocks.flatMap(\.requests) {
            guard let sent = try? JSONDocument(parsing: request.text).root,
                let method = sent["method"]?.string, let line = request.received.first,
                try JSONDocument(parsing: line).root["result"] != nil
            else { continue }
            shown.insert(method)
            #expect(document.lines.contains("### \(method)"), "\(method)")
        }
        // That one has a result only where a VMM runs.
        #expect(shown == Set(Method.allCases.map(\.rawValue)).subtracting(["run.setAtomic"]))
    }

    @Test("every error kind is listed under its code, and no other")
    func errors() {
        let listed = document.table("| code | kind |").map { row in
            row[0].replacingOccurrences(of: "−", with: "-") + " "
                + row[1].replacingOccurrences(of: "`", with: "")
        }
        #expect(listed.sorted() == ErrorKind.allCases.map { "\($0.code) \($0.name)" }.sorted())
    }

    @Test("every limit is explained")
    func limits() throws {
        let explained = document.table("| limit |").map { $0[0] }.joined(separator: " ")
        for name in Mirror(reflecting: ServiceLimits()).children.compactMap(\.label) {
            #expect(explained.contains("`\(name)`"), "\(name)")
        }
    }
}

/// The connections that the document's exchanges go over.
private struct DocumentClients {
    private let service = MemslotService()
    private let ordinary: WireClient
    private let reader: WireClient
    private let embedded: WireClient

    init() throws {
        ordinary = WireClient(service, queue: 64)
        reader = WireClient(service, role: .readOnly, queue: 64)
        let embedding = MemslotService()
        embedded = WireClient(embedding, queue: 64)
        let table = try MemslotTable(backend: SimulatedBackend())
        table.add(CarefulHook())
        try table.submit([
            Memslot(
                id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                size: ByteCount(0x8_0000), userspaceAddress: UserspaceAddress(0x7f00_0000_0000)),
            Memslot(
                id: SlotID(1), guestPhysicalAddress: GuestPhysicalAddress(0xffff_0000),
                size: ByteCount(0x1_0000), userspaceAddress: UserspaceAddress(0x7e00_0000_0000),
                flags: [.readOnly]),
        ])
        try embedding.register(
            table: table, as: "vmm",
            memories: [
                "ram": NamedMapping(
                    address: UserspaceAddress(0x7f00_0000_0000), size: ByteCount(0x10_0000))
            ])
    }

    /// What the server sends for a line, the reply first.
    func send(_ line: String, under conditions: Set<String>) throws -> [String] {
        let client =
            conditions.contains("read-only")
            ? reader : conditions.contains("embedded") ? embedded : ordinary
        let passed =
            conditions.contains("fd")
            ? [try memfd(2 << 20)]
            : conditions.contains("back-end") ? [try ToyBackEnd().socket] : []
        let reply = try client.send(line, passing: passed)
        for descriptor in reply?.descriptors ?? [] { close(descriptor) }
        // An observer counts until its threads have closed its socket, which may be after the reply.
        if line.contains("\"observer.detach\"") {
            try waitUntil("the observer is closed") {
                service.removeClosedObservers()
                return service.budgets.observers.sum == 0
            }
        }
        let events = try client.events().events.map(\.rawText)
        return (reply.map { [$0.line] } ?? []) + events
    }
}

/// Says no to one address, as a device model might.
private final class CarefulHook: MemslotHook {
    var name: String { "vhost-net" }
    var needsQuiescence: Bool { false }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        if case .added(let slot) = change, slot.guestPhysicalAddress.rawValue == 0xdead_0000 {
            throw HookVeto("the device can't reach 0xdead0000")
        }
    }

    func commit(_ change: MemslotChange) {}
    func finish(_ change: MemslotChange) {}
    func abort(_ change: MemslotChange) {}
}
