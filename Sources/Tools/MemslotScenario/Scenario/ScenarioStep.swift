package import MemslotProtocol

/// One line of a scenario that says something.
package struct ScenarioStep: Sendable {
    /// The line's number in the file, from 1.
    package let line: Int
    /// What the line says.
    package let content: Content

    /// What a line of a scenario can say.
    package enum Content: Sendable {
        /// What the file is: its name, and where it is from.
        case header(scenario: String, source: String?)
        /// A remark on what follows.
        ///
        /// `recordedOperations` is how many kernel calls the recorded VMM made for the submit
        /// that follows.
        case comment(String, recordedOperations: UInt64?)
        /// A request to send.
        case request(ScenarioRequest)
    }
}

/// A request of a scenario, and what must come back.
package struct ScenarioRequest: Sendable {
    /// The method's name, which need not exist.
    package let method: String
    /// The parameters, unjudged; `nil` if left out.
    package let params: JSONValue?
    /// An object with `result` or `error`; `nil` if any result will do.
    package let expect: JSONValue?

    /// Writes the bare request on a line of its own.
    ///
    /// - Parameters:
    ///   - id: the id to send it with.
    ///   - writer: where to.
    ///   - backend: what to replace the backend of a `vm.create` by.
    package func write(id: Int, to writer: inout JSONWriter, backend: BackendChoice? = nil) {
        if let backend, method == Method.vmCreate.rawValue, let params, params.kind == .object {
            writer.request(
                method: method, id: RequestID(id), params: Self.replacing(backend, in: params))
        } else {
            writer.request(method: method, id: RequestID(id), params: params?.rawBytes)
        }
    }

    private static func replacing(_ backend: BackendChoice, in params: JSONValue) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        for member in params.members where !member.isNamed("backend") {
            writer.key(named: member.name)
            writer.raw(member.value.rawBytes)
        }
        writer.key("backend")
        writer.string(backend.rawValue)
        writer.endObject()
        return writer.bytes
    }
}
