import MemslotProtocol
import Memslots

/// The lines of a scenario, in the form of `Fixtures/qemu`. Each ends with a newline.
extension JSONWriter {
    mutating func header(of scenario: ImportedScenario) {
        object {
            $0.member("scenario", scenario.name)
            $0.member("source", scenario.source)
        }
        newLine()
    }

    mutating func creation(of machine: ImportedScenario.Machine) {
        beginObject()
        member("method", "vm.create")
        key("params")
        beginObject()
        member("vm", machine.name)
        member("backend", "simulated")
        if machine.needs != BackendNeeds() {
            key("simulated")
            simulated(machine.needs)
        }
        endObject()
        expectedResult {
            $0.member("vm", machine.name)
            $0.member("generation", 0)
        }
        endObject()
        newLine()
    }

    /// Writes the time of a transaction and the number of its calls.
    mutating func comment(of transaction: ImportedTransaction, since start: TraceTime?) {
        var place = "at line \(transaction.line)"
        if let start, let time = transaction.time { place = "at \(time.seconds(since: start))" }
        beginObject()
        member("comment", place)
        member("recordedOperations", transaction.calls.count)
        let undecoded = transaction.calls.count { $0.region == nil }
        if undecoded > 0 { member("undecodedOperations", undecoded) }
        endObject()
        newLine()
    }

    /// Writes the request that submits the array after a transaction.
    mutating func submission(
        of slots: [Memslot], to machine: String, by transaction: ImportedTransaction
    ) {
        beginObject()
        member("method", "memslots.submit")
        key("params")
        beginObject()
        member("vm", machine)
        list("slots", slots) { $0.scenarioSlot($1) }
        endObject()
        expectedResult {
            $0.member("outcome", transaction.outcome.rawValue)
            $0.member("generation", transaction.generation.rawValue)
        }
        endObject()
        newLine()
    }

    /// Unlike in a reply, empty flags are omitted.
    private mutating func scenarioSlot(_ slot: Memslot) {
        beginObject()
        members(of: slot.assignedKey)
        member("guestPhysicalAddress", address: slot.guestPhysicalAddress.rawValue)
        member("size", address: slot.size.rawValue)
        member("userspaceAddress", address: slot.userspaceAddress.rawValue)
        if !slot.flags.isEmpty {
            key("flags")
            flags(slot.flags)
        }
        endObject()
    }

    /// Writes only what differs from the defaults.
    private mutating func simulated(_ needs: BackendNeeds) {
        let defaults = BackendNeeds()
        beginObject()
        if needs.addressSpaces != defaults.addressSpaces {
            member("addressSpaces", UInt64(needs.addressSpaces))
        }
        if needs.maxSlots != defaults.maxSlots {
            member("maxSlots", UInt64(needs.maxSlots))
        }
        if needs.guestPhysicalBits != defaults.guestPhysicalBits {
            member("guestPhysicalBits", needs.guestPhysicalBits)
        }
        if needs.userspaceEnd != defaults.userspaceEnd {
            member("userspaceEnd", address: needs.userspaceEnd.rawValue)
        }
        if needs.flags != defaults.flags {
            key("flags")
            flags(needs.flags)
        }
        endObject()
    }

    private mutating func expectedResult(_ members: (inout JSONWriter) -> Void) {
        key("expect")
        object {
            $0.key("result")
            $0.object(members)
        }
    }
}
