import MemslotProtocol
import Memslots
import Testing

@Suite("Answers")
struct AnswerTests {
    private func written(_ write: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        write(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    private func written(_ slot: Memslot, _ backing: SlotBacking) -> String {
        written { $0.slot(SlotMessage(slot, backing: backing)) }
    }

    private let slot = Memslot(
        id: SlotID(3), guestPhysicalAddress: GuestPhysicalAddress(0x1000),
        size: ByteCount(0x2000), userspaceAddress: UserspaceAddress(0x7F00_0000_0000),
        flags: [.readOnly, .logDirtyPages])

    @Test("a slot has exactly the members of the reference")
    func slots() throws {
        #expect(
            written(slot, .userspaceAddress(slot.userspaceAddress))
                == #"{"slot":3,"guestPhysicalAddress":"0x1000","size":"0x2000","#
                + #""userspaceAddress":"0x7f0000000000","flags":["log-dirty-pages","readonly"]}"#)
        let other = Memslot(
            id: SlotID(0), addressSpace: AddressSpaceID(1),
            guestPhysicalAddress: GuestPhysicalAddress(0), size: ByteCount(4096),
            userspaceAddress: UserspaceAddress(0), flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: 5, offset: ByteCount(0x1000)))
        #expect(
            written {
                $0.slot(
                    SlotMessage(
                        other, backing: .memory(name: "ram", offset: .zero),
                        guestMemfd: "private"))
            }
                == #"{"slot":0,"addressSpace":1,"guestPhysicalAddress":"0x0","size":"0x1000","#
                + #""memory":"ram","memoryOffset":"0x0","flags":["guest-memfd"],"#
                + #""guestMemfd":"private","guestMemfdOffset":"0x1000"}"#)
        #expect(
            written(slot, .opaque("a\"")).contains(#""opaque":"a\"","flags""#))
    }

    @Test("a slot of a reply can be submitted again")
    func again() throws {
        let json = written(slot, .userspaceAddress(slot.userspaceAddress))
        let params = try JSONDocument(parsing: "{\"vm\":\"a\",\"slots\":[\(json)]}").root
        let read = try SubmitParameters(params).slots[0]
        #expect(read.slot == 3)
        #expect(read.guestPhysicalAddress == slot.guestPhysicalAddress)
        #expect(read.size == slot.size)
        #expect(read.userspaceAddress == slot.userspaceAddress)
        #expect(read.flags == slot.flags)
    }

    @Test("an id of another address space is an object")
    func keys() {
        let keys = [
            SlotKey(id: SlotID(7)), SlotKey(addressSpace: AddressSpaceID(1), id: SlotID(0)),
        ]
        #expect(
            written { $0.slotKeys("moved", keys) }
                == #""moved":[7,{"addressSpace":1,"slot":0}]"#)
    }

    @Test("operations show what they do, and where")
    func operations() {
        var moved = slot
        moved.guestPhysicalAddress = GuestPhysicalAddress(0x9000)
        moved.flags = []
        #expect(
            written { $0.operation(PlannedOperation(.create(slot))) }
                == #"{"op":"create","slot":3,"guestPhysicalAddress":"0x1000","#
                + #""flags":["log-dirty-pages","readonly"]}"#)
        #expect(
            written { $0.operation(PlannedOperation(.delete(slot), because: .replaced)) }
                == #"{"op":"delete","slot":3,"guestPhysicalAddress":"0x1000","because":"replaced"}"#
        )
        #expect(
            written { $0.operation(PlannedOperation(.move(from: slot, to: moved))) }
                == #"{"op":"move","slot":3,"guestPhysicalAddress":"0x9000","from":"0x1000","flags":[]}"#
        )
        #expect(
            written { $0.operation(PlannedOperation(.reflag(from: moved, to: slot))) }
                .hasPrefix(#"{"op":"reflag","slot":3,"guestPhysicalAddress":"0x1000","flags""#))
    }

    @Test("a receipt has the members of the reference, those that apply")
    func receipt() {
        let receipt = Receipt(
            generation: Generation(1), outcome: .committed,
            diff: MemslotDiff(from: .empty, to: .empty),
            operations: [PlannedOperation(.delete(slot))])
        var message = ReceiptMessage(vm: "web", receipt)
        let plain = written { $0.receipt(message) }
        #expect(
            plain
                == #"{"vm":"web","generation":1,"outcome":"committed","diff":{"added":[],"removed":"#
                + #"[],"moved":[],"reflagged":[]},"operations":[{"op":"delete","slot":3,"#
                + #""guestPhysicalAddress":"0x1000"}],"operationCount":1,"optimal":true,"#
                + #""quiesced":false,"retired":true,"warnings":[],"nanoseconds":{"prepare":0,"#
                + #""quiesce":0,"harvest":0,"apply":0,"blackout":0,"total":0}}"#)
        message.receipt.unmappedDirtyPages = [DirtyPages(slot: slot, runs: [1..<3, 9..<10])]
        message.receipt.retired = false
        message.receipt.readers = ["vhost"]
        message.slots = [SlotMessage(slot, backing: .opaque("x"))]
        message.previousGeneration = Generation(0)
        message.changed = []
        let full = written { $0.receipt(message) }
        for part in [
            #""dirty":[{"slot":3,"ranges":[[1,2],[9,1]]}]"#,
            #""retired":false,"readers":["vhost"]"#,
            #""slots":[{"slot":3,"#, #""previousGeneration":0"#, #""changed":[]"#,
        ] {
            #expect(full.contains(part))
        }
    }

    @Test("replies, notifications and requests have their envelopes")
    func envelopes() {
        var encoder = ReplyEncoder()
        encoder.encode(.done, id: RequestID(1))
        let reply = String(decoding: encoder.finish(), as: UTF8.self)
        #expect(reply == #"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        let notification = written { $0.notification("vm.created") { $0.null() } }
        #expect(notification == #"{"jsonrpc":"2.0","method":"vm.created","params":null}"#)
        let request = written {
            $0.request(method: "a", id: RequestID(2), params: [UInt8]("{ }".utf8))
            $0.request(method: "b", id: nil, params: [UInt8]?.none)
        }
        #expect(
            request
                == "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"a\",\"params\":{ }}\n"
                + "{\"jsonrpc\":\"2.0\",\"method\":\"b\"}\n")
    }

    @Test("an encoder returns its line without a copy")
    func notCopied() {
        var encoder = ReplyEncoder()
        encoder.reserve(1 << 20)
        encoder.encode(.done, id: RequestID(1))
        let encoded = encoder.withBytes { $0.baseAddress }
        encoder.finishLine().withUnsafeBytes { #expect($0.baseAddress == encoded) }
    }

    @Test("capabilities are written by the names that create a VM")
    func capabilities() {
        #expect(
            written { $0.capabilities(Capabilities()) }
                == #"{"maxSlots":32764,"addressSpaces":1,"guestPhysicalBits":52,"#
                + #""userspaceEnd":"0x7ffffffff000","maxPagesPerSlot":2147483647,"#
                + #""flags":["log-dirty-pages","readonly"]}"#)
    }
}
