import MemslotProtocol
import Memslots
import Testing

@Suite("Parameters")
struct ParameterTests {
    private func params(_ json: String) throws -> JSONValue { try JSONDocument(parsing: json).root }

    @Test("a slot's members are all read, in any order")
    func slot() throws {
        let submit = try SubmitParameters(
            params(
                #"""
                {"quiesce":"always","quiesceDeadlineMs":250,"expectedGeneration":18446744073709551615,
                 "slots":[{"flags":["readonly","log-dirty-pages"],"size":"0xFFFFfff000",
                 "guestPhysicalAddress":18446744073709551615,"slot":70000,"addressSpace":4294967296,
                 "userspaceAddress":"18446744073709551615","memory":"r\u0061m","memoryOffset":"0",
                 "opaque":"t","guestMemfd":"g","guestMemfdOffset":"0x000000000000000000010"},
                 {"size":9007199254740993,"guestPhysical\u0041ddress":"0x\u0031f"}],"vm":"web"}
                """#))
        #expect(submit.vm == "web")
        #expect(submit.quiesce == .always)
        #expect(submit.quiesceDeadline == .milliseconds(250))
        #expect(submit.expectedGeneration == Generation(.max))
        var slot = SlotParameters()
        slot.flags = [.readOnly, .logDirtyPages]
        slot.size = ByteCount(0xFF_FFFF_F000)
        slot.guestPhysicalAddress = GuestPhysicalAddress(.max)
        slot.slot = 70_000
        slot.addressSpace = 1 << 32
        slot.userspaceAddress = UserspaceAddress(.max)
        slot.memory = "ram"
        slot.memoryOffset = ByteCount(0)
        slot.opaque = "t"
        slot.guestMemfd = "g"
        slot.guestMemfdOffset = ByteCount(16)
        #expect(submit.slots.first == slot)
        var bare = SlotParameters()
        bare.size = ByteCount(1 << 53 + 1)
        bare.guestPhysicalAddress = GuestPhysicalAddress(0x1F)
        #expect(submit.slots.last == bare)
    }

    @Test("the largest table is read as it was written")
    func largest() throws {
        var slots: [SlotParameters] = []
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("slots")
        writer.beginArray()
        for id in 0..<UInt32(32_764) {
            let slot = Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(UInt64(id) << 40),
                size: ByteCount(4096 << UInt64(id % 20)), userspaceAddress: UserspaceAddress(0),
                flags: MemslotFlags(rawValue: id % 4))
            writer.slot(
                SlotMessage(
                    slot, backing: .memory(name: "ram\(id % 7)", offset: ByteCount(UInt64(id)))))
            var wanted = SlotParameters()
            wanted.slot = UInt64(id)
            wanted.guestPhysicalAddress = slot.guestPhysicalAddress
            wanted.size = slot.size
            wanted.flags = slot.flags
            wanted.memory = "ram\(id % 7)"
            wanted.memoryOffset = ByteCount(UInt64(id))
            slots.append(wanted)
        }
        writer.endArray()
        writer.key("vm")
        writer.string("web")
        writer.endObject()
        let read = try SubmitParameters(JSONDocument(parsing: writer.finish()).root)
        #expect(read.slots.count == slots.count)
        #expect(zip(read.slots, slots).allSatisfy { $0 == $1 })
    }

    @Test("what is left out has its default")
    func defaults() throws {
        let submit = try SubmitParameters(params(#"{"vm":"a","slots":[]}"#))
        #expect(submit.slots.isEmpty)
        #expect(submit.quiesce == .auto)
        #expect(submit.expectedGeneration == nil)
        #expect(submit.quiesceDeadline == nil)
        let create = try VMCreateParameters(params(#"{"vm":"a.b-c_d é"}"#))
        #expect(create.backend == .auto)
        #expect(create.simulated == SimulatedParameters())
        #expect(create.simulated.maxSlots == 32_764)
        #expect(!create.isEphemeral)
        #expect(try NameParameters(nil, among: NameParameters.anyVM).anyVM == nil)
        #expect(try HistoryParameters(params(#"{"vm":"a"}"#)).last == nil)
        let dirty = try DirtyLogParameters(params(#"{"vm":"a","slot":3}"#))
        #expect(dirty.slot == 3)
        #expect(!dirty.clears)
        #expect(dirty.firstPage == 0)
        #expect(dirty.pageCount == nil)
        _ = try NameParameters(nil)
        _ = try NameParameters(params("{}"))
    }

    @Test("members are decoded")
    func given() throws {
        let create = try VMCreateParameters(
            params(
                #"{"vm":"a","backend":"simulated","ephemeral":true,"simulated":{"maxSlots":8,"addressSpaces":2,"guestPhysicalBits":40,"userspaceEnd":"0x1000","flags":[]}}"#
            ))
        #expect(create.backend == .simulated)
        #expect(create.isEphemeral)
        #expect(create.simulated.maxSlots == 8)
        #expect(create.simulated.addressSpaces == 2)
        #expect(create.simulated.guestPhysicalBits == 40)
        #expect(create.simulated.userspaceEnd == UserspaceAddress(0x1000))
        #expect(create.simulated.flags == [])
        let made = try MemoryCreateParameters(
            params(#"{"vm":"a","memory":"m","size":"4096","backing":"guest-memfd"}"#))
        #expect(made.source == .made(.guestMemfd))
        #expect(made.size == ByteCount(4096))
        #expect(!made.isShared)
        let both = #"{"vm":"a","memory":"m","size":1,"backing":"guest-memfd","shared":true}"#
        #expect(try MemoryCreateParameters(params(both)).isShared)
        let passed = try MemoryCreateParameters(
            params(#"{"vm":"a","memory":"m","fd":18446744073709551615}"#))
        #expect(passed.source == .passed(index: .max))
        #expect(passed.size == nil)
        let fault = try FaultParameters(params(#"{"vm":"a","operation":2,"errno":"ENOMEM"}"#))
        #expect(fault.fault == .arm(operation: 2, errno: .outOfMemory, times: 1))
        #expect(try FaultParameters(params(#"{"vm":"a","clear":true}"#)).fault == .clear)
        let touch = try TouchParameters(
            params(#"{"vm":"a","guestPhysicalAddress":"0x1000","size":1,"addressSpace":1}"#))
        #expect(touch.guestPhysicalAddress == GuestPhysicalAddress(0x1000))
        #expect(touch.addressSpace == 1)
        let translate = try TranslateParameters(params(#"{"vm":"a","addresses":["0x10",7]}"#))
        #expect(translate.addresses == [.address(16), .address(7)])
    }
}
