import MemslotProtocol
import Memslots

/// Lines that a client sends.
enum RequestLine {
    /// A request of one VM.
    static func make(_ method: String, vm: String) -> [UInt8] {
        make(method) { writer in
            writer.key("vm")
            writer.string(vm)
        }
    }

    /// `server.info` has no parameters to read; `vm.create` makes a simulated VM.
    static func create(vm: String) -> [UInt8] {
        make("vm.create") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("backend")
            writer.string("simulated")
        }
    }

    /// The submit of an array, with the members that clients write.
    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make("memslots.submit") { writer in
            writer.key("vm")
            writer.string(vm)
            writer.key("slots")
            writer.beginArray()
            for slot in slots {
                writer.slot(slot, backing: .userspaceAddress(slot.userspaceAddress))
            }
            writer.endArray()
        }
    }

    /// A request with parameters.
    static func make(_ method: String, params: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        params(&writer)
        writer.endObject()
        var line = JSONWriter()
        line.request(method: method, id: RequestID(1), params: writer.finish())
        return line.finish()
    }
}
