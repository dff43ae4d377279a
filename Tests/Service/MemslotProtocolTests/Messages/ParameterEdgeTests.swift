import MemslotProtocol
import Testing

@Suite("Edges of parameters")
struct ParameterEdgeTests {
    private func path(_ json: String) throws -> String? {
        let root = try JSONDocument(parsing: json).root
        do throws(ProtocolError) {
            _ = try SubmitParameters(root)
            return nil
        } catch { return error.data.path }
    }

    @Test("a new name has at most 128 bytes")
    func names() {
        #expect(nameFault(String(repeating: "n", count: 128)) == nil)
        #expect(nameFault(String(repeating: "n", count: 129)) != nil)
        #expect(nameFault(String(repeating: "ü", count: 64)) == nil)
        #expect(nameFault(String(repeating: "ü", count: 65)) != nil)
    }

    @Test("a name that only begins like a known one is none")
    func prefixes() throws {
        func submit(_ flag: String) -> String {
            #"{"vm":"a","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":0,"#
                + #""flags":["\#(flag)"]}]}"#
        }
        #expect(try path(submit("readonly")) == nil)
        for wrong in ["readonl", "readonlyx", "readonly ", ""] {
            #expect(try path(submit(wrong)) == "slots[0].flags[0]")
        }
        #expect(try path(#"{"vm":"a","slots":[],"quiescex":"auto"}"#) == "quiescex")
        #expect(try path(#"{"vm":"a","slots":[],"quiesc":"auto"}"#) == "quiesc")
    }
}
