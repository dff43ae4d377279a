import Foundation
import MemslotProtocol
import MemslotScenario
import Memslots
import TestSupport
import Testing

@Suite("A scenario")
struct ScenarioReaderTests {
    static let fixtures = Repository.url("Fixtures")

    static func files(in folders: [String]) -> [URL] {
        folders.flatMap { folder in
            let path = fixtures.appending(path: folder).path
            return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
                .filter { $0.hasSuffix(".jsonl") && !$0.hasSuffix(".raw.jsonl") }.sorted()
                .map { fixtures.appending(path: folder).appending(path: $0) }
        }
    }

    private func steps(_ text: String) throws -> [ScenarioStep] {
        var reader = ScenarioReader(LineReader(bytes: Array(text.utf8)))
        var steps: [ScenarioStep] = []
        while let step = try reader.next() { steps.append(step) }
        return steps
    }

    private func fault(_ bytes: [UInt8]) -> UnusableInput? {
        var reader = ScenarioReader(LineReader(bytes: bytes))
        do throws(UnusableInput) {
            while try reader.next() != nil {}
            return nil
        } catch { return error }
    }

    @Test("every fixture is read, and its submits' parameters too")
    func fixtures() throws {
        let files = Self.files(in: ["qemu", "layouts", "kernel", "invalid", "faults", "traces"])
        #expect(files.count >= 24)
        for file in files {
            let descriptor = open(file.path, O_RDONLY)
            defer { close(descriptor) }
            var reader = ScenarioReader(LineReader(descriptor: descriptor))
            var requests = 0
            while let step = try reader.next() {
                guard case .request(let request) = step.content else { continue }
                requests += 1
                #expect(Method(rawValue: request.method) != nil || request.expect?["error"] != nil)
                if request.method == "memslots.submit", request.expect?["error"] == nil {
                    _ = try SubmitParameters(request.params)
                }
            }
            #expect(requests > 0, "\(file.lastPathComponent)")
        }
    }

    @Test("lines are headers, comments and requests; blank ones are passed over and counted")
    func lines() throws {
        let steps = try steps(
            #"""
            {"scenario":"s","source":"here","free":[1]}

            {"comment":"c","recordedOperations":4,"vcpus":2}
              \#("\r")
            {"comment":"d","scenario":"free"}
            {"method":"vm.list"}
            {"expect":{"error":{"code":-32601}},"params":[7],"method":"nope"}
            """#)
        #expect(steps.map(\.line) == [1, 3, 5, 6, 7])
        guard case .header("s", "here") = steps[0].content,
            case .comment("c", recordedOperations: 4) = steps[1].content,
            case .comment("d", recordedOperations: nil) = steps[2].content,
            case .request(let list) = steps[3].content,
            case .request(let nope) = steps[4].content
        else {
            Issue.record("\(steps)")
            return
        }
        #expect(list.method == "vm.list")
        #expect(list.params == nil)
        #expect(list.expect == nil)
        #expect(nope.params?.rawText == "[7]")
        #expect(nope.expect?["error"]?["code"]?.int == -32_601)
    }

    @Test(
        "unusable input is an error with line and column",
        arguments: [
            ("", 1, 1, "empty file"),
            ("\n \r\n\n", 1, 1, "empty file"),
            ("{\"comment\":\"é\"}\n{\"method\" 1}", 2, 11, "\":\""),
            ("[]", 1, 1, "an object"),
            ("{}", 1, 1, "method: missing"),
            ("{\"method\":7}", 1, 11, "method: expected a string"),
            ("{\"method\":\"a\",\"parms\":{}}", 1, 15, "did you mean \"params\"?"),
            ("{\"method\":\"a\",\"id\":1}", 1, 15, "unknown member"),
            ("{\"method\":\"a\",\"method\":\"a\"}", 1, 15, "twice"),
            ("{\"method\":\"a\",\"expect\":{}}", 1, 24, "either"),
            ("{\"method\":\"a\",\"expect\":{\"result\":{},\"error\":{}}}", 1, 24, "either"),
            ("{\"method\":\"a\",\"expect\":{\"reslut\":{}}}", 1, 25, "\"result\""),
            ("{\"method\":\"a\",\"expect\":7}", 1, 24, "an object"),
            ("{\"method\":\"a\",\"comment\":\"b\"}", 1, 15, "unknown member"),
            ("{\"comment\":7}", 1, 12, "a string"),
            ("{\"scenario\":\"s\",\"source\":7}", 1, 26, "a string"),
            ("{\"comment\":\"c\",\"recordedOperations\":-1}", 1, 37, "a count"),
        ] as [(String, Int, Int, String)])
    func unusable(text: String, line: Int, column: Int, part: String) {
        let found = fault(Array(text.utf8))
        #expect(found?.line == line)
        #expect(found?.column == column)
        #expect(found?.message.contains(part) == true, "\(found?.message ?? "taken")")
    }

    @Test("a binary is unusable")
    func binary() {
        #expect(fault([0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 10])?.line == 1)
        #expect(fault(Array("{\"comment\":\"".utf8) + [0xFF])?.column == 13)
    }

    @Test("a request is written bare, with its id, and with another backend where asked")
    func requests() throws {
        let steps = try steps(
            #"""
            {"method":"vm.create","params":{"backend":"simulated", "vm":"a"},"expect":{"result":{}}}
            {"method":"vm.list"}
            """#)
        var plain = JSONWriter()
        var onKVM = JSONWriter()
        for (index, step) in steps.enumerated() {
            guard case .request(let request) = step.content else { continue }
            request.write(id: index + 1, to: &plain)
            request.write(id: index + 1, to: &onKVM, backend: .kvm)
        }
        #expect(
            String(decoding: plain.bytes, as: UTF8.self)
                == #"{"jsonrpc":"2.0","id":1,"method":"vm.create","params":{"backend":"simulated", "vm":"a"}}"#
                + "\n" + #"{"jsonrpc":"2.0","id":2,"method":"vm.list"}"# + "\n")
        #expect(
            String(decoding: onKVM.bytes, as: UTF8.self).hasPrefix(
                #"{"jsonrpc":"2.0","id":1,"method":"vm.create","params":{"vm":"a","backend":"kvm"}}"#
            ))
    }
}
