import Memslots

extension JSONWriter {
    /// Begins a reply up to the value of its last member, `result` or `error`, which the caller
    /// writes next, and then the object's end.
    mutating func beginResponse(id: RequestID, _ outcome: StaticString) {
        beginObject()
        member("jsonrpc", "2.0")
        key("id")
        raw(id.rawBytes)
        key(outcome)
    }

    /// Writes a whole notification. `params` writes the value of its `params`.
    package mutating func notification(_ method: StaticString, params: (inout JSONWriter) -> Void) {
        object {
            $0.member("jsonrpc", "2.0")
            $0.member("method", method) { $0.staticString($1) }
            $0.key("params")
            params(&$0)
        }
    }

    /// Writes a whole request on a line of its own: a notification without an `id`. `params` is
    /// JSON text; `nil` to omit the parameters.
    package mutating func request(
        method: String, id: RequestID?, params: (some Collection<UInt8>)?
    ) {
        object {
            $0.member("jsonrpc", "2.0")
            $0.member("id", id) { $0.raw($1.rawBytes) }
            $0.member("method", method)
            $0.member("params", params) { $0.raw($1) }
        }
        newLine()
    }

    /// Writes the `error` object of a reply: code, message, data.
    package mutating func error(_ error: ProtocolError) {
        object {
            $0.member("code", error.code)
            $0.member("message", error.message)
            $0.object("data") {
                $0.members(of: error.data)
                if !error.violations.isEmpty {
                    $0.member("violationCount", error.violationCount)
                    $0.list("violations", error.violations) { writer, violation in
                        writer.object { $0.members(of: violation) }
                    }
                }
            }
        }
    }

    /// Writes the members of an error's data that have a value.
    private mutating func members(of data: ErrorData) {
        member("kind", data.kind.name)
        member("message", data.message)
        member("slot", data.slot)
        member("otherSlot", data.otherSlot)
        if data.addressSpace != 0 { member("addressSpace", data.addressSpace) }
        member("path", data.path)
        member("errno", data.errno?.name)
        member("operation", data.operation)
        member("generation", data.generation?.rawValue)
        member("oldestGeneration", data.oldestGeneration?.rawValue)
        member("reason", data.reason)
        member("limit", data.limit)
        if let vcpus = data.vcpus { list("vcpus", vcpus) { $0.string($1) } }
        if let readers = data.readers { list("readers", readers) { $0.string($1) } }
    }
}
