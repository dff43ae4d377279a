import MemslotProtocol
import MemslotScenario
import MemslotService
import Testing

/// A service, asked line by line.
struct Asked {
    private var target: InProcessTarget

    init(_ service: MemslotService) { target = InProcessTarget(service) }

    /// The whole answer.
    mutating func callAsFunction(_ method: String, _ params: String = "{}") throws -> JSONValue {
        let line = #"{"id":1,"method":"\#(method)","params":\#(params)}"#
        return try JSONDocument(parsing: target.exchange(Array(line.utf8))).root
    }

    /// The answer's error kind; `nil` for a result.
    mutating func kind(_ method: String, _ params: String = "{}") throws -> String? {
        let answer = try self(method, params)
        return answer["error"]?["data"]?["kind"]?.string
    }
}
