import MemslotProtocol
import MemslotScenario
import Memslots

enum RequestLine {
    static func create(vm: String) -> [UInt8] {
        make(.vmCreate, vm: vm) { $0.member("backend", "simulated") }
    }

    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make(.memslotsSubmit, vm: vm) {
            $0.list("slots", slots) { writer, slot in
                writer.slot(SlotMessage(slot, backing: .userspaceAddress(slot.userspaceAddress)))
            }
        }
    }

    /// A request with the VM and other parameters.
    static func make(
        _ method: Method, vm: String, others: (inout JSONWriter) -> Void = { _ in }
    ) -> [UInt8] {
        var line = JSONWriter()
        line.request(method, vm: vm, id: 1, others)
        return line.finish()
    }
}
