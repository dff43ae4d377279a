internal import MemslotProtocol

/// How far a KVM VM is as a scenario has it, after lines that were skipped.
struct ReplayedVM {
    /// What the scenario asked for.
    let asked: SimulatedParameters
    /// Whether there is such a VM.
    let isCreated: Bool
    private var outOfStep: String?
    /// The line that armed a fault which is not armed.
    private var faultLine: Int?
    /// The line that touched pages which are not touched.
    private var touchLine: Int?
    /// The line at which the VM was to fail, and did not.
    private var failureLine: Int?

    /// - Parameter lack: why the VM was not created; `nil` where it was.
    init(asked: SimulatedParameters, lack: String? = nil) {
        self.asked = asked
        isCreated = lack == nil
        outOfStep = lack
    }

    /// Whether its later lines can't be played.
    var isOutOfStep: Bool { outOfStep != nil || failureLine != nil }

    /// Whether the scenario has it failed, and only that is the matter.
    var hasNotFailed: Bool { outOfStep == nil && failureLine != nil }

    /// Why its later lines can't be played.
    var reason: String {
        outOfStep ?? "the VM did not fail at line \(failureLine ?? 0)"
    }

    /// Takes its later lines out of the replay.
    mutating func fallOutOfStep(_ reason: String) { outOfStep = outOfStep ?? reason }

    /// The VM is to be as before it was to fail, which it is.
    mutating func recover() { failureLine = nil }

    /// Keeps what a line for the simulator would have done.
    mutating func note(_ request: ScenarioRequest, _ line: Int) {
        if request.method == Method.guestTouch.rawValue {
            touchLine = touchLine ?? line
        } else if request.params?["clear"]?.bool != true {
            faultLine = line
        }
    }

    /// Why a submit or a plan can't be played; `nil` if it can.
    ///
    /// A submit that a fault would have undone leaves the VM as it is, which it is without.
    mutating func reasonNotToSubmit(_ request: ScenarioRequest, _ line: Int) -> String? {
        if isOutOfStep { return reason }
        guard let faultLine, let kind = request.expectedKind,
            [ErrorKind.rolledBack.name, ErrorKind.vmFailed.name].contains(kind)
        else { return nil }
        if kind == ErrorKind.vmFailed.name { failureLine = line }
        return "the fault of line \(faultLine) is not armed"
    }

    /// Why a dirty log can't be held against what is expected; `nil` if it can.
    var reasonNotToReadLog: String? {
        if isOutOfStep { return reason }
        return touchLine.map { "the pages of line \($0) were not touched" }
    }

    /// Whether a difference at `path` comes of pages that were not touched.
    func excuses(_ path: String) -> Bool {
        guard touchLine != nil else { return false }
        return path.split(separator: ".").contains { $0 == "dirty" || $0.hasPrefix("dirty[") }
    }
}

extension ScenarioRequest {
    /// The VM that the line names.
    var vm: String? { params?["vm"]?.string }

    /// Whether an error is expected.
    var expectsError: Bool { expect?["error"] != nil }

    /// The kind of error that is expected, where the line says it.
    var expectedKind: String? { expect?.errorKind }
}

extension JSONValue {
    /// `error.data.kind`.
    var errorKind: String? { self["error"]?["data"]?["kind"]?.string }

    /// All kinds of an error: its own, and those of its violations.
    var kinds: Set<String> {
        let data = self["error"]?["data"]
        var kinds = Set(data?["violations"]?.elements.compactMap { $0["kind"]?.string } ?? [])
        if let kind = data?["kind"]?.string { kinds.insert(kind) }
        return kinds
    }
}
