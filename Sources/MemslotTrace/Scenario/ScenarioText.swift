import Memslots

/// The lines of a scenario, in the form of `Fixtures/qemu`.
enum ScenarioText {
    static func header(of scenario: ImportedScenario) -> String {
        "{\"scenario\":\(quoted(scenario.name)),\"source\":\(quoted(scenario.source))}"
    }

    static func creation(of machine: ImportedScenario.Machine) -> String {
        let defaults = BackendNeeds()
        let needs = machine.needs
        var options: [String] = []
        if needs.addressSpaces != defaults.addressSpaces {
            options.append("\"addressSpaces\":\(needs.addressSpaces)")
        }
        if needs.maxSlots != defaults.maxSlots { options.append("\"maxSlots\":\(needs.maxSlots)") }
        if needs.guestPhysicalBits != defaults.guestPhysicalBits {
            options.append("\"guestPhysicalBits\":\(needs.guestPhysicalBits)")
        }
        if needs.userspaceEnd != defaults.userspaceEnd {
            options.append("\"userspaceEnd\":\"\(needs.userspaceEnd)\"")
        }
        if needs.flags != defaults.flags { options.append("\"flags\":\(list(needs.flags.names))") }
        let simulated =
            options.isEmpty ? "" : ",\"simulated\":{\(options.joined(separator: ","))}"
        let name = quoted(machine.name)
        return "{\"method\":\"vm.create\",\"params\":{\"vm\":\(name),\"backend\":\"simulated\""
            + "\(simulated)},\"expect\":{\"result\":{\"vm\":\(name),\"generation\":0}}}"
    }

    static func comment(of transaction: ImportedTransaction, since start: TraceTime?) -> String {
        var place = "at line \(transaction.line)"
        if let start, let time = transaction.time {
            place = "at \(Units.seconds(time.nanoseconds(since: start))) s"
        }
        let undecoded = transaction.calls.count { $0.region == nil }
        let more = undecoded == 0 ? "" : ",\"undecodedOperations\":\(undecoded)"
        return "{\"comment\":\"\(place)\",\"recordedOperations\":\(transaction.calls.count)"
            + "\(more)}"
    }

    static func submit(
        _ slots: [Memslot], to machine: String, of transaction: ImportedTransaction
    ) -> String {
        var line =
            "{\"method\":\"memslots.submit\",\"params\":{\"vm\":\(quoted(machine)),\"slots\":["
        var isFirst = true
        for slot in slots {
            if !isFirst { line += "," }
            isFirst = false
            write(slot, to: &line)
        }
        let outcome = transaction.outcome == .committed ? "committed" : "unchanged"
        line += "]},\"expect\":{\"result\":{\"outcome\":\"\(outcome)\","
        line += "\"generation\":\(transaction.generation)}}}"
        return line
    }

    private static func write(_ slot: Memslot, to line: inout String) {
        line += "{\"slot\":\(slot.id)"
        if slot.addressSpace != .main { line += ",\"addressSpace\":\(slot.addressSpace)" }
        line += ",\"guestPhysicalAddress\":\"\(slot.guestPhysicalAddress)\""
        line += ",\"size\":\"\(slot.size)\",\"userspaceAddress\":\"\(slot.userspaceAddress)\""
        if !slot.flags.isEmpty { line += ",\"flags\":\(list(slot.flags.names))" }
        line += "}"
    }

    private static func list(_ names: [String]) -> String {
        "[\(names.map(quoted).joined(separator: ","))]"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
