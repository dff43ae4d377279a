import Memslots

extension JSONWriter {
    /// Writes the `error` object of a response: code, message, data.
    public mutating func error(_ error: ProtocolError) {
        beginObject()
        key("code")
        integer(error.code)
        key("message")
        string(error.message)
        key("data")
        beginObject()
        members(of: error.data)
        if !error.violations.isEmpty {
            key("violationCount")
            integer(error.violationCount)
            key("violations")
            beginArray()
            for violation in error.violations {
                beginObject()
                members(of: violation)
                endObject()
            }
            endArray()
        }
        endObject()
        endObject()
    }

    /// Writes those members of an error's data that are there.
    private mutating func members(of data: ErrorData) {
        key("kind")
        string(data.kind.name)
        member("slot", data.slot)
        member("otherSlot", data.otherSlot)
        if data.addressSpace != 0 { member("addressSpace", data.addressSpace) }
        member("path", data.path)
        member("errno", data.errno?.name)
        member("operation", data.operation.map(UInt64.init(clamping:)))
        member("generation", data.generation?.rawValue)
        member("reason", data.reason)
        member("limit", data.limit)
        if let vcpus = data.vcpus {
            key("vcpus")
            strings(vcpus)
        }
        if let readers = data.readers {
            key("readers")
            strings(readers)
        }
    }

    /// Writes an array of strings.
    public mutating func strings(_ texts: [String]) {
        beginArray()
        for text in texts { string(text) }
        endArray()
    }

    private mutating func member(_ name: StaticString, _ value: UInt64?) {
        guard let value else { return }
        key(name)
        integer(value)
    }

    private mutating func member(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        key(name)
        string(value)
    }
}
