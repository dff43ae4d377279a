internal import MemslotProtocol

/// The difference between a KVM VM and the scenario's VM, after skipped lines.
struct ReplayedVM {
    let asked: SimulatedParameters
    let isCreated: Bool
    private var outOfStep: String?
    /// The skipped line that would have armed a fault.
    private var faultLine: Int?
    /// The skipped line that would have touched pages.
    private var touchLine: Int?
    /// The skipped line that would have made the VM fail.
    private var failureLine: Int?

    /// - Parameter lack: why the VM was not created; `nil` if it was.
    init(asked: SimulatedParameters, lack: String? = nil) {
        self.asked = asked
        isCreated = lack == nil
        outOfStep = lack
    }

    var isOutOfStep: Bool { outOfStep != nil || failureLine != nil }
    var hasNotFailed: Bool { outOfStep == nil && failureLine != nil }
    var reason: String { outOfStep ?? "the VM did not fail at line \(failureLine ?? 0)" }

    mutating func fallOutOfStep(_ reason: String) { outOfStep = outOfStep ?? reason }
    mutating func recover() { failureLine = nil }

    mutating func skipSimulatorLine(_ request: ScenarioRequest, _ line: Int) {
        if request.method == Method.guestTouch.rawValue {
            touchLine = touchLine ?? line
        } else if request.params?["clear"]?.bool != true {
            faultLine = line
        }
    }

    /// Why a submit or a plan is skipped; `nil` if it is played, or undone: then nothing changes.
    mutating func reasonNotToSubmit(_ request: ScenarioRequest, _ line: Int) -> String? {
        if isOutOfStep { return reason }
        guard let faultLine, let kind = request.expectedKind,
            [ErrorKind.rolledBack.name, ErrorKind.vmFailed.name].contains(kind)
        else { return nil }
        if kind == ErrorKind.vmFailed.name { failureLine = line }
        return "the fault of line \(faultLine) is not armed"
    }

    var reasonNotToReadLog: String? {
        if isOutOfStep { return reason }
        return touchLine.map { "the pages of line \($0) were not touched" }
    }

    func excuses(_ path: String) -> Bool {
        guard touchLine != nil else { return false }
        return path.split(separator: ".").contains { $0 == "dirty" || $0.hasPrefix("dirty[") }
    }
}

extension ScenarioRequest {
    var vm: String? { params?["vm"]?.string }
    var expectsError: Bool { expect?["error"] != nil }
    var expectedKind: String? { expect?.errorKind }
}

extension JSONValue {
    var errorKind: String? { self["error"]?["data"]?["kind"]?.string }

    /// All kinds of an error: its own, and those of its violations.
    var kinds: Set<String> {
        let data = self["error"]?["data"]
        var kinds = Set(data?["violations"]?.elements.compactMap { $0["kind"]?.string } ?? [])
        if let kind = data?["kind"]?.string { kinds.insert(kind) }
        return kinds
    }
}
