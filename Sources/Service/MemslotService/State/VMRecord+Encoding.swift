internal import MemslotProtocol
internal import Memslots

extension VMRecord {
    /// What the text of a record contains; see ``VMRecord``.
    struct Contents {
        var number: UInt64
        var user: UInt32
        var vm, backend: String
        var simulated: SimulatedParameters
        var generation: Generation
        var lastMemory: UInt32
        var memories: [StoredMemory]
        var slots: NamedSlots
        var attributes: [GuestRange]

        /// The text with its checksum.
        var bytes: [UInt8] {
            var writer = JSONWriter(capacity: 512 + 160 * slots.count + 64 * attributes.count)
            writer.record(self)
            writer.newLine()
            return SealedText.seal(writer.finish())
        }
    }
}

extension JSONWriter {
    fileprivate mutating func record(_ contents: VMRecord.Contents) {
        let simulated = contents.simulated
        object {
            $0.member("format", VMRecord.format)
            $0.member("version", VMRecord.version)
            $0.member("number", contents.number)
            $0.member("user", UInt64(contents.user))
            $0.member("generation", contents.generation.rawValue)
            $0.member("lastMemory", UInt64(contents.lastMemory))
            $0.object("create") {
                $0.member("vm", contents.vm)
                $0.member("backend", contents.backend)
                $0.object("simulated") {
                    $0.member("maxSlots", UInt64(simulated.maxSlots))
                    $0.member("addressSpaces", UInt64(simulated.addressSpaces))
                    $0.member("guestPhysicalBits", UInt64(simulated.guestPhysicalBits))
                    $0.member("userspaceEnd", address: simulated.userspaceEnd.rawValue)
                    $0.member(flags: simulated.flags)
                    $0.member("profile", simulated.profile?.rawValue)
                    $0.member(pageSize: simulated.pageSize)
                    if simulated.kernel != .default { $0.member("kernel", "\(simulated.kernel)") }
                }
            }
            $0.list("memories", contents.memories) { $0.memory($1) }
            $0.object("submit") {
                $0.member("vm", contents.vm)
                $0.member("slots", contents.slots)
                $0.member(attributes: contents.attributes.map { ($0, nil) })
            }
        }
    }

    private mutating func memory(_ memory: StoredMemory) {
        object {
            $0.member("id", UInt64(memory.id.rawValue))
            $0.member("memory", memory.name)
            $0.member("size", address: memory.size.rawValue)
            $0.member("pageSize", address: memory.pageSize.rawValue)
            $0.member("kept", memory.place.rawValue)
        }
    }
}
