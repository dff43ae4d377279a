import Glibc
package import MemslotProtocol
package import MemslotService

extension ClientConnection {
    package func send(_ text: String, descriptors: [Int32] = []) throws {
        try send(Array(text.utf8), descriptors: descriptors)
    }

    /// Sends a line, and waits for the next line.
    package mutating func ask(_ line: String, descriptors: [Int32] = []) throws -> JSONValue {
        try send(line + "\n", descriptors: descriptors)
        return try next()
    }

    /// Waits for the next line.
    package mutating func next() throws -> JSONValue {
        guard let value = try receive()?.value else {
            throw TargetLost("expected a line of JSON, found the end")
        }
        return value
    }

    /// Waits for `count` lines.
    package mutating func next(_ count: Int) throws -> [JSONValue] {
        var values: [JSONValue] = []
        for _ in 0..<count { values.append(try next()) }
        return values
    }

    /// Waits until something can be read, and reads nothing.
    package func waitForBytes() {
        var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        while poll(&descriptor, 1, -1) < 0 {}
    }

    /// Returns whether the server has closed the connection without sending anything more.
    package mutating func isAtEnd() throws -> Bool { try receive() == nil }

    /// Calls a method, with parameters as JSON text.
    package mutating func call(
        _ method: String, _ params: String, passing descriptors: [Int32] = []
    ) throws -> Received {
        guard let method = Method(rawValue: method) else { throw TargetLost("no method \(method)") }
        return try call(method, params: Array(params.utf8), descriptors: descriptors)
    }

    /// Calls a method that must succeed.
    ///
    /// - Returns: the result.
    @discardableResult
    package mutating func result(_ method: String, _ params: String = "{}") throws -> JSONValue {
        let answer = try call(method, params)
        guard let result = answer.value?["result"] else {
            throw TargetLost(String(decoding: answer.line, as: UTF8.self))
        }
        return result
    }

    /// Creates a simulated VM.
    package mutating func makeVM(_ name: String) throws {
        try result("vm.create", #"{"vm":"\#(name)","backend":"simulated"}"#)
    }

    /// Creates a simulated VM with as many slots as one reply needs to fill a socket's buffers.
    package mutating func makeLargeVM(_ name: String) throws {
        try makeVM(name)
        let slots = (0..<2_000).map {
            #"{"slot":\#($0),"guestPhysicalAddress":\#($0 * 8_192),"size":4096,"userspaceAddress":4096}"#
        }.joined(separator: ",")
        try result("memslots.submit", #"{"vm":"\#(name)","slots":[\#(slots)]}"#)
    }

    /// Asks for more than the sockets hold, and waits for the first bytes: the rest is stuck.
    package func requestMoreThanFits(_ largeVM: String) throws {
        try send("[" + (1...20).map { Line.get(largeVM, id: $0) }.joined(separator: ",") + "]\n")
        waitForBytes()
    }
}

extension JSONValue {
    /// The elements of an array.
    package var list: [JSONValue] { Array(elements) }

    package var id: Int? { self["id"]?.int }
    package var errorCode: Int? { self["error"]?["code"]?.int }
    package var errorKind: String? { self["error"]?["data"]?["kind"]?.string }
    package var limit: String? { self["error"]?["data"]?["limit"]?.string }
}

/// Requests, without the end of the line.
package enum Line {
    /// A submit of one slot of `pages` pages at 0.
    package static func submit(
        _ vm: String, id: Int, pages: Int, expected: UInt64? = nil, deadline: UInt64? = nil
    ) -> String {
        let expected = expected.map { #","expectedGeneration":\#($0)"# } ?? ""
        let deadline = deadline.map { #","quiesceDeadlineMs":\#($0)"# } ?? ""
        return #"{"id":\#(id),"method":"memslots.submit","params":{"vm":"\#(vm)","#
            + #""slots":[{"slot":0,"guestPhysicalAddress":0,"size":\#(pages * 4_096),"#
            + #""userspaceAddress":4096}]\#(expected)\#(deadline)}}"#
    }

    /// A request that changes nothing.
    package static func get(_ vm: String, id: Int) -> String {
        #"{"id":\#(id),"method":"memslots.get","params":{"vm":"\#(vm)"}}"#
    }
}
