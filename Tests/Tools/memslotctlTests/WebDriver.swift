import Foundation
import FoundationNetworking
import TestSupport

/// A browser that a test controls: Debian's `chromium` and `chromium-driver`, by WebDriver.
final class WebDriver {
    static let isInstalled =
        BuiltProducts.tool("chromedriver") != nil && BuiltProducts.tool("chromium") != nil

    struct Failure: Error { var text: String }

    private let driver = Process()
    private let base: String
    private var session = ""

    init() throws {
        let output = Pipe()
        driver.executableURL = URL(fileURLWithPath: BuiltProducts.tool("chromedriver") ?? "")
        driver.arguments = ["--port=0"]
        driver.standardOutput = output
        driver.standardError = FileHandle.nullDevice
        try driver.run()
        var text = ""
        var port: Substring?
        while port == nil {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { throw Failure(text: "chromedriver ended: \(text)") }
            text += String(decoding: data, as: UTF8.self)
            if let start = text.range(of: "successfully on port "),
                text[start.upperBound...].contains(".")
            {
                port = text[start.upperBound...].prefix { $0.isNumber }
            }
        }
        base = "http://127.0.0.1:\(port ?? "")"
        let options: [String: Any] = [
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--window-size=1200,1600",
            ]
        ]
        let capabilities: [String: Any] = [
            "alwaysMatch": ["goog:chromeOptions": options, "goog:loggingPrefs": ["browser": "ALL"]]
        ]
        let value = try post("/session", ["capabilities": capabilities]) as? [String: Any]
        session = value?["sessionId"] as? String ?? ""
    }

    deinit {
        _ = try? request("DELETE", "/session/\(session)", nil)
        driver.terminate()
        driver.waitUntilExit()
    }

    func open(_ file: String) throws {
        _ = try post("/session/\(session)/url", ["url": "file://\(file)"])
    }

    /// The value of a script in the page.
    func evaluate(_ script: String) throws -> Any? {
        try post(
            "/session/\(session)/execute/sync", ["script": "return \(script)", "args": [Any]()])
    }

    func text(_ id: String) throws -> String {
        try evaluate("document.getElementById('\(id)').textContent") as? String ?? ""
    }

    func number(_ script: String) throws -> Int { try evaluate(script) as? Int ?? -1 }

    func click(_ selector: String) throws {
        _ = try post("/session/\(session)/element/\(element(selector))/click", [:])
    }

    /// Types into an element, or presses keys; `\u{E007}` is Enter.
    func type(_ text: String, into selector: String) throws {
        _ = try post("/session/\(session)/element/\(element(selector))/value", ["text": text])
    }

    /// The errors and warnings that the page wrote to the console.
    func console() throws -> [String] {
        let entries =
            try post("/session/\(session)/se/log", ["type": "browser"]) as? [[String: Any]]
        return (entries ?? []).compactMap { $0["message"] as? String }
    }

    private func element(_ selector: String) throws -> String {
        let found =
            try post(
                "/session/\(session)/element", ["using": "css selector", "value": selector])
            as? [String: Any]
        return found?.values.first as? String ?? ""
    }

    private func post(_ path: String, _ body: [String: Any]) throws -> Any? {
        try request("POST", path, body)
    }

    private func request(_ method: String, _ path: String, _ body: [String: Any]?) throws -> Any? {
        guard let url = URL(string: base + path) else { throw Failure(text: path) }
        var request = URLRequest(url: url, timeoutInterval: 120)
        request.httpMethod = method
        if let body { request.httpBody = try JSONSerialization.data(withJSONObject: body) }
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        let done = DispatchSemaphore(value: 0)
        nonisolated(unsafe) var result: Result<Data, any Error> = .failure(
            Failure(text: "no reply"))
        URLSession.shared.dataTask(with: request) { data, _, error in
            result = error.map { .failure($0) } ?? .success(data ?? Data())
            done.signal()
        }.resume()
        done.wait()
        let reply = try JSONSerialization.jsonObject(with: result.get()) as? [String: Any]
        if let value = reply?["value"] as? [String: Any], let error = value["error"] {
            throw Failure(text: "\(error): \(value["message"] ?? "")")
        }
        return reply?["value"]
    }
}
