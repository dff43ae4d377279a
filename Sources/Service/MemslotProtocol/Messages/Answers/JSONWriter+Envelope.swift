extension JSONWriter {
    /// Begins a response up to the value of `result`, which the caller writes next.
    public mutating func beginResult(id: RequestID) {
        beginObject()
        version()
        key("id")
        raw(id.rawBytes)
        key("result")
    }

    /// Ends a response.
    public mutating func endResult() { endObject() }

    /// Writes a whole error response.
    ///
    /// - Parameters:
    ///   - failure: the error.
    ///   - id: the request's id; ``RequestID/null`` where it can't be told.
    public mutating func errorResponse(_ failure: ProtocolError, id: RequestID) {
        beginObject()
        version()
        key("id")
        raw(id.rawBytes)
        key("error")
        error(failure)
        endObject()
    }

    /// Begins a notification up to the value of `params`, which the caller writes next.
    public mutating func beginNotification(_ method: StaticString) {
        beginObject()
        version()
        key("method")
        staticString(method)
        key("params")
    }

    /// Ends a notification.
    public mutating func endNotification() { endObject() }

    /// Writes a whole request on a line of its own.
    ///
    /// - Parameters:
    ///   - method: the method's name.
    ///   - id: the id; `nil` for a notification.
    ///   - params: the parameters as JSON text; `nil` to leave them out.
    public mutating func request(
        method: String, id: RequestID?, params: (some Collection<UInt8>)?
    ) {
        beginObject()
        version()
        if let id {
            key("id")
            raw(id.rawBytes)
        }
        key("method")
        string(method)
        if let params {
            key("params")
            raw(params)
        }
        endObject()
        newLine()
    }

    private mutating func version() {
        key("jsonrpc")
        staticString("2.0")
    }
}
