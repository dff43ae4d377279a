import MemslotProtocol
import MemslotScenario
import Memslots
import Testing

@Suite("array files")
struct ArrayFileTests {
    private static let slot = #"{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":0}"#

    private func read(_ text: String) throws -> ArrayFile { try ArrayFile(Array(text.utf8)) }

    @Test(
        "every form in which an array is kept is read",
        arguments: [
            "[\(slot)]",
            #"{"generation":3,"slots":[\#(slot)]}"#,
            #"{"jsonrpc":"2.0","id":1,"result":{"generation":3,"slots":[\#(slot)]}}"#,
            #"{"method":"memslots.submit","params":{"vm":"a","slots":[\#(slot)]}}"#,
            #"{"comment":"x"}"# + "\n"
                + #"{"method":"memslots.submit","params":{"vm":"a","slots":[]}}"# + "\n"
                + #"{"method":"memslots.submit","params":{"vm":"a","slots":[\#(slot)]}}"# + "\n",
        ])
    func forms(text: String) throws {
        #expect(try read(text).slots.count == 1)
    }

    @Test("each slot knows the line in which it begins")
    func lines() throws {
        let slot = Self.slot
        #expect(try read("[\n\(slot),\n\n  \(slot), \(slot)\n]").lines == [2, 4, 4])
        let scenario =
            #"{"comment":"x"}"# + "\n\n"
            + #"{"method":"memslots.submit","params":{"vm":"a","slots":[\#(slot)]}}"#
        #expect(try read(scenario).lines == [3])
    }

    @Test(
        "a file that is not an array is an error with its place",
        arguments: [
            ("", 1), ("7", 1), ("[\n{}]", 2), ("[\n\(slot),\n{\"size\":-1}]", 3),
            ("{\"comment\":\"x\"}\n{\"comment\":\"y\"}", 1),
        ])
    func faults(text: String, line: Int) {
        let fault = #expect(throws: UnusableInput.self) { try read(text) }
        #expect(fault?.line == line)
    }
}
