import MemslotProtocol
import Testing

@Suite("A line from a client")
struct IncomingMessageTests {
    private func single(_ text: String) -> IncomingRequest? {
        guard case .single(let request) = IncomingMessage(parsing: Array(text.utf8)) else {
            return nil
        }
        return request
    }

    private func request(_ text: String) -> Request? {
        guard case .request(let request) = single(text) else { return nil }
        return request
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
        #expect(request.params == nil)
    }

    @Test("every method is known by its name, and another is told with the nearest")
    func methods() {
        for method in Method.allCases {
            #expect(request("{\"method\":\"\(method.rawValue)\"}")?.method == method)
        }
        let unknown = request(#"{"method":"memslots.sumbit"}"#)
        #expect(unknown?.method == nil)
        #expect(unknown?.methodNotFound.code == -32_601)
        #expect(unknown?.methodNotFound.message.contains("\"memslots.submit\"") == true)
    }

    @Test(
        "what is no request is refused with its path, and with the id where it can be told",
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
    func invalid(text: String, path: String, answered: String, code: Int) {
        guard case .invalid(let error, let found) = single(text) else {
            Issue.record("taken: \(text)")
            return
        }
        #expect(error.code == code)
        #expect(error.data.path == path)
        #expect(id(found) == answered)
    }

    @Test("an unknown member of the envelope is told with the nearest")
    func spelling() {
        guard case .invalid(let error, _) = single(#"{"method":"vm.list","parms":{}}"#) else {
            Issue.record("taken")
            return
        }
        #expect(error.message == #"a request has no member "parms"; did you mean "params"?"#)
    }

    @Test("what is not JSON is a parse error with its column", arguments: ["", "{", "\u{0}", "[1"])
    func notJSON(text: String) {
        guard case .invalid(let error, let found) = single(text) else {
            Issue.record("taken: \(text)")
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
            let message = IncomingMessage(parsing: Array(text.utf8), batchLimit: 2)
            guard case .single(.invalid(let error, let found)) = message else {
                Issue.record("taken: \(text)")
                continue
            }
            #expect(error.kind == kind)
            #expect(found == .null)
        }
    }

    @Test("a batch keeps its order, what is no request in it too")
    func batch() throws {
        let text = #"[{"id":1,"method":"vm.list"},7,{"method":"metrics.get"}]"#
        guard case .batch(let requests) = IncomingMessage(parsing: Array(text.utf8)) else {
            Issue.record("no batch")
            return
        }
        #expect(requests.count == 3)
        if case .request(let first) = requests[0] { #expect(id(first.id) == "1") }
        guard case .invalid(let error, .null) = requests[1] else {
            Issue.record("7 is no request")
            return
        }
        #expect(error.kind == .invalidRequest)
        guard case .request(let last) = requests[2] else {
            Issue.record("the last is a request")
            return
        }
        #expect(last.id == nil)
        #expect(last.method == .metricsGet)
    }

    @Test("a line in a buffer is read as if it stood alone, its return too")
    func range() {
        let bytes = Array("junk\n{\"id\":4,\"method\":\"vm.get\"}\r\nmore".utf8)
        guard case .single(.request(let request)) = IncomingMessage(parsing: bytes, in: 5..<32)
        else {
            Issue.record("refused")
            return
        }
        #expect(id(request.id) == "4")
        #expect(request.methodName == "vm.get")
    }

    @Test("the VM's name is found before the parameters are judged")
    func vmName() {
        #expect(request(#"{"method":"x","params":{"bad":1,"vm":"a"}}"#)?.vmName == "a")
        #expect(request(#"{"method":"x","params":{"vm":1}}"#)?.vmName == nil)
        #expect(request(#"{"method":"x","params":["a"]}"#)?.vmName == nil)
        #expect(request(#"{"method":"x"}"#)?.vmName == nil)
    }
}
