import MemslotProtocol
import Memslots

/// The lines of a scenario, in the form of `Fixtures/qemu`. Each ends with a newline.
extension JSONWriter {
    /// Writes what the scenario is called and was made of.
    mutating func header(of scenario: ImportedScenario) {
        beginObject()
        key("scenario")
        string(scenario.name)
        key("source")
        string(scenario.source)
        endObject()
        newLine()
    }

    /// Writes the request that makes a VM.
    mutating func creation(of machine: ImportedScenario.Machine) {
        beginObject()
        key("method")
        staticString("vm.create")
        key("params")
        beginObject()
        key("vm")
        string(machine.name)
        key("backend")
        staticString("simulated")
        if machine.needs != BackendNeeds() {
            key("simulated")
            simulated(machine.needs)
        }
        endObject()
        beginExpectedResult()
        key("vm")
        string(machine.name)
        key("generation")
        integer(0)
        endExpectedResult()
        endObject()
        newLine()
    }

    /// Writes when the VMM made a transaction, and in how many calls.
    mutating func comment(of transaction: ImportedTransaction, since start: TraceTime?) {
        var place = "at line \(transaction.line)"
        if let start, let time = transaction.time { place = "at \(time.seconds(since: start))" }
        beginObject()
        key("comment")
        string(place)
        key("recordedOperations")
        integer(transaction.calls.count)
        let undecoded = transaction.calls.count { $0.region == nil }
        if undecoded > 0 {
            key("undecodedOperations")
            integer(undecoded)
        }
        endObject()
        newLine()
    }

    /// Writes the request for the array that a transaction led to.
    mutating func submission(
        of slots: [Memslot], to machine: String, by transaction: ImportedTransaction
    ) {
        beginObject()
        key("method")
        staticString("memslots.submit")
        key("params")
        beginObject()
        key("vm")
        string(machine)
        key("slots")
        beginArray()
        for slot in slots { scenarioSlot(slot) }
        endArray()
        endObject()
        beginExpectedResult()
        key("outcome")
        switch transaction.outcome {
        case .committed: staticString("committed")
        case .unchanged: staticString("unchanged")
        }
        key("generation")
        integer(transaction.generation.rawValue)
        endExpectedResult()
        endObject()
        newLine()
    }

    /// Unlike in an answer, flags are left out where there are none.
    private mutating func scenarioSlot(_ slot: Memslot) {
        beginObject()
        members(of: slot.assignedKey)
        key("guestPhysicalAddress")
        address(slot.guestPhysicalAddress.rawValue)
        key("size")
        address(slot.size.rawValue)
        key("userspaceAddress")
        address(slot.userspaceAddress.rawValue)
        if !slot.flags.isEmpty {
            key("flags")
            flags(slot.flags)
        }
        endObject()
    }

    /// Only what differs from the defaults.
    private mutating func simulated(_ needs: BackendNeeds) {
        let defaults = BackendNeeds()
        beginObject()
        if needs.addressSpaces != defaults.addressSpaces {
            key("addressSpaces")
            integer(UInt64(needs.addressSpaces))
        }
        if needs.maxSlots != defaults.maxSlots {
            key("maxSlots")
            integer(UInt64(needs.maxSlots))
        }
        if needs.guestPhysicalBits != defaults.guestPhysicalBits {
            key("guestPhysicalBits")
            integer(needs.guestPhysicalBits)
        }
        if needs.userspaceEnd != defaults.userspaceEnd {
            key("userspaceEnd")
            address(needs.userspaceEnd.rawValue)
        }
        if needs.flags != defaults.flags {
            key("flags")
            flags(needs.flags)
        }
        endObject()
    }

    private mutating func beginExpectedResult() {
        key("expect")
        beginObject()
        key("result")
        beginObject()
    }

    private mutating func endExpectedResult() {
        endObject()
        endObject()
    }
}
