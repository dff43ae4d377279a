import Foundation
import Glibc
import TestSupport

/// A page in chromium, driven over WebDriver (https://www.w3.org/TR/webdriver2/).
///
/// The driver writes to a file and inherits no pipe: a test that waited for the end of one would
/// wait for the browser that the driver leaves behind.
final class WebDriver {
    static let driver = BuiltProducts.tool("chromedriver")
    static let browser = BuiltProducts.tool("chromium")

    struct Failure: Error, CustomStringConvertible { let description: String }

    private let process = ChildProcess()
    private let scratch: ScratchDirectory
    private var port: UInt16 = 0
    private var session = ""

    init() throws {
        scratch = try ScratchDirectory()
        let log = scratch.path("driver.log")
        try scratch.write([], to: "driver.log")
        process.executableURL = URL(fileURLWithPath: Self.driver ?? "")
        process.arguments = ["--port=0"]
        process.standardOutput = FileHandle(forWritingAtPath: log)
        process.standardError = process.standardOutput
        process.environment = ProcessInfo.processInfo.environment
            .merging(["HOME": scratch.path]) { $1 }
        try process.run()
        try waitUntil("the port of chromedriver") {
            let words = try String(contentsOfFile: log, encoding: .utf8)
                .components(separatedBy: "successfully on port ")
            port = UInt16(words.last?.prefix { $0.isNumber } ?? "") ?? 0
            return port > 0
        }
        let arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--window-size=1200,1000", "--user-data-dir=\(scratch.path("profile"))",
        ]
        let browser: [String: Any] = [
            "goog:chromeOptions": ["args": arguments, "binary": Self.browser ?? ""],
            "goog:loggingPrefs": ["browser": "ALL"],
        ]
        let reply = try send("POST", "/session", ["capabilities": ["alwaysMatch": browser]])
        session = (reply as? [String: Any])?["sessionId"] as? String ?? ""
    }

    deinit {
        guard process.isRunning else { return }
        _ = try? send("DELETE", path(""))
        // The driver, and a browser that did not end.
        kill(-process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    func open(_ file: String) throws { try post("/url", ["url": "file://\(file)"]) }

    /// The value of a JavaScript expression.
    @discardableResult
    func value(_ expression: String) throws -> Any {
        try post("/execute/sync", ["script": "return \(expression)", "args": []])
    }

    func string(_ expression: String) throws -> String { "\(try value(expression))" }

    /// The text of the element that a CSS selector finds.
    func text(of selector: String) throws -> String {
        try string("document.querySelector('\(selector)').textContent")
    }

    func count(_ selector: String) throws -> Int {
        try value("document.querySelectorAll('\(selector)').length") as? Int ?? -1
    }

    /// Clicks an element as a person does: it must be visible and not covered.
    func click(_ selector: String) throws { try post("\(element(selector))/click", [:]) }

    func type(_ keys: String, into selector: String) throws {
        try post("\(element(selector))/clear", [:])
        try post("\(element(selector))/value", ["text": keys])
    }

    /// Types into the element without clearing it: a slider has nothing to clear.
    func press(_ keys: String, on selector: String) throws {
        try post("\(element(selector))/value", ["text": keys])
    }

    /// Presses keys while the page has the focus.
    func press(_ keys: String) throws {
        let actions = keys.unicodeScalars.flatMap { key in
            ["keyDown", "keyUp"].map { ["type": $0, "value": String(key)] }
        }
        try post(
            "/actions", ["actions": [["type": "key", "id": "keyboard", "actions": actions]]])
    }

    /// Emulates the medium, `screen` or `print`, and the preferred colours.
    func emulate(_ medium: String, scheme: String) throws {
        let feature = ["name": "prefers-color-scheme", "value": scheme]
        try post(
            "/goog/cdp/execute",
            [
                "cmd": "Emulation.setEmulatedMedia",
                "params": ["media": medium, "features": [feature]],
            ])
    }

    /// The page as PDF.
    func pdf() throws -> Data { Data(base64Encoded: "\(try post("/print", [:]))") ?? Data() }

    /// What the page logged since the last call, errors of scripts and of loading included.
    func console() throws -> [String] {
        let entries = try post("/se/log", ["type": "browser"]) as? [[String: Any]] ?? []
        return entries.map { "\($0["level"] ?? ""): \($0["message"] ?? "")" }
    }

    private func element(_ selector: String) throws -> String {
        let found = try post("/element", ["using": "css selector", "value": selector])
        guard let name = (found as? [String: String])?.values.first else {
            throw Failure(description: "no element: \(selector)")
        }
        return "/element/\(name)"
    }

    private func path(_ rest: String) -> String { "/session/\(session)\(rest)" }

    @discardableResult
    private func post(_ rest: String, _ body: [String: Any]) throws -> Any {
        try send("POST", path(rest), body)
    }

    /// Sends a request and returns the value of its reply.
    private func send(_ method: String, _ path: String, _ body: [String: Any] = [:]) throws -> Any {
        let bytes = try JSONSerialization.data(withJSONObject: body)
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(bytes.count)\r\nConnection: close\r\n\r\n"
        let reply = try exchange(Data(head.utf8) + bytes)
        guard let object = try JSONSerialization.jsonObject(with: reply) as? [String: Any] else {
            throw Failure(description: "no reply to \(path)")
        }
        let value = object["value"] ?? NSNull()
        if let error = (value as? [String: Any])?["error"] {
            let message = (value as? [String: Any])?["message"] ?? ""
            throw Failure(description: "\(path): \(error): \(message)")
        }
        return value
    }

    /// Sends a request to the driver and returns the body of its reply; a minute at most for each.
    ///
    /// The driver leaves the connection open: only the length tells where the body ends.
    private func exchange(_ request: Data) throws -> Data {
        let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        defer { close(file) }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(file, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(file, $0, size) }
        }
        guard connected == 0 else { throw Failure(description: "chromedriver does not listen") }
        var rest = request
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "chromedriver reads nothing") }
            rest = Data(rest.dropFirst(count))
        }
        var reply = Data()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(file, &buffer, buffer.count, 0)
            guard count > 0 else { throw Failure(description: "chromedriver sent no reply") }
            reply += buffer[..<count]
            guard let end = reply.range(of: Data("\r\n\r\n".utf8)) else { continue }
            let head = String(decoding: reply[..<end.lowerBound], as: UTF8.self).lowercased()
            let digits = head.components(separatedBy: "content-length:").last ?? ""
            let length = Int(digits.drop { $0 == " " }.prefix { $0.isNumber }) ?? 0
            if reply.count >= end.upperBound + length { return reply[end.upperBound...] }
        }
    }
}
