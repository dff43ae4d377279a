import MemslotProtocol
import Testing

@Suite("A line from a client")
struct RequestDecoderTests {
    /// The only request of a line, where its envelope is well-formed.
    private func request(_ text: String) -> Request? {
        guard case .single(let request) = RequestDecoder().decode(Array(text.utf8)),
            envelopeError(request) == nil
        else { return nil }
        return request
    }

    /// The fault of an envelope, and the id of the reply.
    private func invalid(_ text: String, batchLimit: Int = 64) -> (ProtocolError, RequestID?)? {
        let line = RequestDecoder(batchLimit: batchLimit).decode(Array(text.utf8))
        guard case .single(let request) = line, let error = envelopeError(request) else {
            return nil
        }
        return (error, request.id)
    }

    private func envelopeError(_ request: Request) -> ProtocolError? {
        guard case .failure(.envelope(let error)) = request.command else { return nil }
        return error
    }

    private func id(_ id: RequestID?) -> String? {
        id.map { String(decoding: $0.rawBytes, as: UTF8.self) }
    }

    @Test(
        "an id is kept as it is written",
        arguments: ["1", "-7", "1.50", "18446744073709551616", "\"a\\u0041\"", "null", "\"\""])
    func ids(text: String) {
        #expect(id(request("{\"id\":\(text),\"method\":\"vm.list\"}")?.id) == text)
    }

    @Test("without an id it is a notification")
    func notification() throws {
        let request = try #require(self.request(#"{"jsonrpc":"2.0","method":"vm.list"}"#))
        #expect(request.id == nil)
        #expect(request.method == .vmList)
        guard case .success(.listVMs) = request.command else {
            Issue.record("vm.list is not decoded")
            return
        }
    }

    @Test("every method is found by its name; an unknown one is reported with the most similar")
    func methods() {
        for method in Method.allCases {
            #expect(request("{\"method\":\"\(method.rawValue)\"}")?.method == method)
        }
        let unknown = request(#"{"method":"memslots.sumbit"}"#)
        #expect(unknown?.method == nil)
        guard case .failure(let invalid) = unknown?.command else {
            Issue.record("accepted")
            return
        }
        #expect(invalid.error.code == -32_601)
        #expect(invalid.error.message.contains("\"memslots.submit\"") == true)
    }

    @Test(
        "what is no request is refused with its path, and with the id where it is known",
        arguments: [
            (#"{"id":1}"#, "method", "1", -32_600),
            (#"{"id":1,"method":2}"#, "method", "1", -32_600),
            (#"{"method":2,"id":1}"#, "method", "1", -32_600),
            (#"{"id":[],"method":"vm.list"}"#, "id", "null", -32_600),
            (#"{"id":true,"method":"vm.list"}"#, "id", "null", -32_600),
            (#"{"jsonrpc":"1.0","id":1,"method":"vm.list"}"#, "jsonrpc", "1", -32_600),
            (#"{"jsonrpc":2.0,"id":1,"method":"vm.list"}"#, "jsonrpc", "1", -32_600),
            (#"{"id":1,"method":"vm.list","parms":{}}"#, "parms", "1", -32_602),
            (#"{"id":1,"method":"vm.list","method":"vm.list"}"#, "method", "1", -32_602),
            (#"{"id":1,"method":"vm.list","id":2}"#, "id", "null", -32_602),
            (#"{"id":1,"method":"vm.list","\u0069d":2}"#, "id", "null", -32_602),
        ] as [(String, String, String, Int)])
    func invalidEnvelope(text: String, path: String, answered: String, code: Int) {
        guard let (error, found) = invalid(text) else {
            Issue.record("accepted: \(text)")
            return
        }
        #expect(error.code == code)
        #expect(error.data.path == path)
        #expect(id(found) == answered)
    }

    @Test("an unknown member of the envelope is reported with the most similar")
    func spelling() {
        guard let (error, _) = invalid(#"{"method":"vm.list","parms":{}}"#) else {
            Issue.record("accepted")
            return
        }
        #expect(error.message == #"a request has no member "parms"; did you mean "params"?"#)
    }

    @Test("what is not JSON is a parse error with its column", arguments: ["", "{", "\u{0}", "[1"])
    func notJSON(text: String) {
        guard let (error, found) = invalid(text) else {
            Issue.record("accepted: \(text)")
            return
        }
        #expect(error.kind == .parseError)
        #expect(error.message.contains("column"))
        #expect(found == .null)
    }

    @Test("a scalar, an empty batch and an over-long one are one error")
    func noBatch() {
        for (text, kind) in [
            ("1", ErrorKind.invalidRequest), ("[]", .invalidRequest), ("[1,2,3]", .limitExceeded),
        ] {
            guard let (error, found) = invalid(text, batchLimit: 2) else {
                Issue.record("accepted: \(text)")
                continue
            }
            #expect(error.kind == kind)
            #expect(found == .null)
        }
    }

    @Test("a batch keeps its order, what is no request in it too")
    func batch() throws {
        let text = #"[{"id":1,"method":"vm.list"},7,{"method":"metrics.get"}]"#
        guard case .batch(let requests) = RequestDecoder().decode(Array(text.utf8)) else {
            Issue.record("no batch")
            return
        }
        #expect(requests.count == 3)
        #expect(id(requests[0].id) == "1")
        #expect(requests[0].method == .vmList)
        guard let error = envelopeError(requests[1]), requests[1].id == .null else {
            Issue.record("7 is no request")
            return
        }
        #expect(error.kind == .invalidRequest)
        #expect(requests[2].id == nil)
        #expect(requests[2].method == .metricsGet)
    }

    @Test("a line in a buffer is read as if it stood alone, its return too")
    func range() {
        let bytes = Array("junk\n{\"id\":4,\"method\":\"vm.get\"}\r\nmore".utf8)
        guard case .single(let request) = RequestDecoder().decode(bytes, in: 5..<32),
            envelopeError(request) == nil
        else {
            Issue.record("refused")
            return
        }
        #expect(id(request.id) == "4")
        #expect(request.methodName == "vm.get")
    }

    @Test("the VM's name is found whether the parameters are valid or not")
    func vmName() {
        #expect(request(#"{"method":"x","params":{"bad":1,"vm":"a"}}"#)?.vm == "a")
        #expect(request(#"{"method":"x","params":{"vm":1}}"#)?.vm == nil)
        #expect(request(#"{"method":"x","params":["a"]}"#)?.vm == nil)
        #expect(request(#"{"method":"x"}"#)?.vm == nil)
    }
}
