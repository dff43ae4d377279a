internal import MemslotProtocol
internal import Memslots

extension VMRecord {
    /// What the text of a record contains; see ``VMRecord``.
    struct Contents {
        var number: UInt64
        var user: UInt32
        var vm: String
        var backend: String
        var simulated: SimulatedParameters
        var generation: Generation
        var lastMemory: UInt32
        var memories: [StoredMemory]
        var slots: NamedSlots

        /// The text with its checksum.
        var bytes: [UInt8] {
            var writer = JSONWriter(capacity: 512 + 160 * slots.count)
            writer.record(self)
            writer.newLine()
            return SealedText.seal(writer.finish())
        }
    }
}

extension JSONWriter {
    fileprivate mutating func record(_ contents: VMRecord.Contents) {
        beginObject()
        key("format")
        string(VMRecord.format)
        key("version")
        integer(VMRecord.version)
        key("number")
        integer(contents.number)
        key("user")
        integer(UInt64(contents.user))
        key("generation")
        integer(contents.generation.rawValue)
        key("lastMemory")
        integer(UInt64(contents.lastMemory))
        key("create")
        create(contents)
        key("memories")
        beginArray()
        for memory in contents.memories { self.memory(memory) }
        endArray()
        key("submit")
        beginObject()
        key("vm")
        string(contents.vm)
        key("slots")
        slots(contents.slots)
        endObject()
        endObject()
    }

    private mutating func create(_ contents: VMRecord.Contents) {
        let simulated = contents.simulated
        beginObject()
        key("vm")
        string(contents.vm)
        key("backend")
        string(contents.backend)
        key("simulated")
        beginObject()
        key("maxSlots")
        integer(UInt64(simulated.maxSlots))
        key("addressSpaces")
        integer(UInt64(simulated.addressSpaces))
        key("guestPhysicalBits")
        integer(UInt64(simulated.guestPhysicalBits))
        key("userspaceEnd")
        address(simulated.userspaceEnd.rawValue)
        key("flags")
        flags(simulated.flags)
        endObject()
        endObject()
    }

    private mutating func memory(_ memory: StoredMemory) {
        beginObject()
        key("id")
        integer(UInt64(memory.id.rawValue))
        key("memory")
        string(memory.name)
        key("size")
        address(memory.size.rawValue)
        key("pageSize")
        address(memory.pageSize.rawValue)
        key("kept")
        string(memory.place.rawValue)
        endObject()
    }
}
