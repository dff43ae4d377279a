import Glibc
import MemslotProtocol

@testable import MemslotService

extension ClientConnection {
    func send(_ text: String, descriptors: [Int32] = []) throws {
        try send(Array(text.utf8), descriptors: descriptors)
    }

    /// Sends a line, and waits for the next line.
    mutating func ask(_ line: String, descriptors: [Int32] = []) throws -> JSONValue {
        try send(line + "\n", descriptors: descriptors)
        return try next()
    }

    /// Waits for the next line.
    mutating func next() throws -> JSONValue {
        guard let value = try receive()?.value else {
            throw TargetLost("expected a line of JSON, found the end")
        }
        return value
    }

    /// Waits for so many lines.
    mutating func next(_ count: Int) throws -> [JSONValue] {
        var values: [JSONValue] = []
        for _ in 0..<count { values.append(try next()) }
        return values
    }

    /// Waits until something can be read, and reads nothing.
    func waitForBytes() {
        var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        while poll(&descriptor, 1, -1) < 0 {}
    }

    /// Whether the server has closed, and sent nothing before.
    mutating func isAtEnd() throws -> Bool { try receive() == nil }

    /// Makes a simulated VM.
    mutating func makeVM(_ name: String) throws {
        let answer = try ask(
            #"{"id":0,"method":"vm.create","params":{"vm":"\#(name)","backend":"simulated"}}"#)
        guard answer["result"] != nil else { throw TargetLost(answer.rawText) }
    }
}

extension JSONValue {
    var errorCode: Int? { self["error"]?["code"]?.int }
    var errorKind: String? { self["error"]?["data"]?["kind"]?.string }
    var limit: String? { self["error"]?["data"]?["limit"]?.string }
    var id: Int? { self["id"]?.int }
}

enum Line {
    /// A submit of one slot of `pages` pages at 0.
    static func submit(
        _ vm: String, id: Int, pages: Int, expected: UInt64? = nil, deadline: UInt64? = nil
    ) -> String {
        let expected = expected.map { #","expectedGeneration":\#($0)"# } ?? ""
        let deadline = deadline.map { #","quiesceDeadlineMs":\#($0)"# } ?? ""
        return #"{"id":\#(id),"method":"memslots.submit","params":{"vm":"\#(vm)","#
            + #""slots":[{"slot":0,"guestPhysicalAddress":0,"size":\#(pages * 4_096),"#
            + #""userspaceAddress":4096}]\#(expected)\#(deadline)}}"#
    }

    /// A request that only looks.
    static func get(_ vm: String, id: Int) -> String {
        #"{"id":\#(id),"method":"memslots.get","params":{"vm":"\#(vm)"}}"#
    }
}
