import MemslotProtocol
import Testing

@Suite("Faults of parameters")
struct ParameterFaultTests {
    private func fault(_ method: Method, _ json: String?) throws -> ProtocolError? {
        let params = try json.map { try JSONDocument(parsing: $0).root }
        do throws(ProtocolError) {
            _ = try Command(method, params)
            return nil
        } catch { return error }
    }

    @Test(
        "each has its path",
        arguments: [
            (.vmDestroy, nil, "vm"),
            (.vmDestroy, "{}", "vm"),
            (.vmDestroy, "[\"web\"]", ""),
            (.vmDestroy, "null", ""),
            (.vmDestroy, "7", ""),
            (.vmDestroy, #"{"vm":null}"#, "vm"),
            (.vmDestroy, #"{"vm":"a","vm":"a"}"#, "vm"),
            (.vmDestroy, #"{"vm":"a","\u0076m":"a"}"#, "vm"),
            (.vmDestroy, #"{"vm":"a","we ird":1}"#, #""we ird""#),
            (.serverInfo, #"{"x":1}"#, "x"),
            (.vmCreate, #"{"vm":""}"#, "vm"),
            (.vmCreate, #"{"vm":"a/b"}"#, "vm"),
            (.vmCreate, #"{"vm":"a\u0000"}"#, "vm"),
            (.vmCreate, #"{"vm":"a\u009f"}"#, "vm"),
            (.vmCreate, "{\"vm\":\"\(String(repeating: "é", count: 65))\"}", "vm"),
            (.vmCreate, #"{"vm":"a","backend":"xen"}"#, "backend"),
            (.vmCreate, #"{"vm":"a","ephemeral":1}"#, "ephemeral"),
            (.vmCreate, #"{"vm":"a","simulated":[]}"#, "simulated"),
            (.vmCreate, #"{"vm":"a","simulated":{"maxSlots":0}}"#, "simulated.maxSlots"),
            (.vmCreate, #"{"vm":"a","simulated":{"maxSlots":1048577}}"#, "simulated.maxSlots"),
            (.vmCreate, #"{"vm":"a","simulated":{"maxSlots":"1"}}"#, "simulated.maxSlots"),
            (.vmCreate, #"{"vm":"a","simulated":{"flags":["x"]}}"#, "simulated.flags[0]"),
            (.vmCreate, #"{"vm":"a","simulated":{"slots":1}}"#, "simulated.slots"),
            (.memoryCreate, #"{"vm":"a","memory":"m"}"#, "backing"),
            (.memoryCreate, #"{"vm":"a","memory":"m","backing":"memfd"}"#, "size"),
            (.memoryCreate, #"{"vm":"a","memory":"m","size":1,"backing":"memfd","fd":0}"#, "fd"),
            (.memoryCreate, #"{"vm":"a","memory":"m","fd":-1}"#, "fd"),
            (.memoryCreate, #"{"vm":"a","memory":"","fd":0}"#, "memory"),
            (.memoryExport, #"{"vm":"a"}"#, "memory"),
            (.memslotsTranslate, #"{"vm":"a","addresses":[0,"0x"]}"#, "addresses[1]"),
            (.memslotsTranslate, #"{"vm":"a","addresses":7}"#, "addresses"),
            (.memslotsHistory, #"{"vm":"a","last":1.0}"#, "last"),
            (.dirtylogGet, #"{"vm":"a"}"#, "slot"),
            (.dirtylogGet, #"{"vm":"a","slot":"0"}"#, "slot"),
            (.dirtylogGet, #"{"vm":"a","slot":0,"clear":"true"}"#, "clear"),
            (.eventsSubscribe, #"{"vm":[]}"#, "vm"),
            (.faultInject, #"{"vm":"a"}"#, "operation"),
            (.faultInject, #"{"vm":"a","operation":1}"#, "errno"),
            (.faultInject, #"{"vm":"a","operation":1,"errno":"ENOPE"}"#, "errno"),
            (.faultInject, #"{"vm":"a","operation":1,"errno":12}"#, "errno"),
            (.faultInject, #"{"vm":"a","clear":true,"times":1}"#, "clear"),
            (.guestTouch, #"{"vm":"a","guestPhysicalAddress":0}"#, "size"),
            (.memslotsSubmit, #"{"vm":"a"}"#, "slots"),
            (.memslotsSubmit, #"{"vm":"a","slots":{}}"#, "slots"),
            (.memslotsSubmit, #"{"vm":"a","slots":[],"quiesce":"never"}"#, "quiesce"),
            (.memslotsSubmit, #"{"vm":"a","slots":[],"expectedGenration":1}"#, "expectedGenration"),
            (
                .memslotsSubmit, #"{"vm":"a","slots":[],"expectedGeneration":"1"}"#,
                "expectedGeneration"
            ),
            (.memslotsSubmit, #"{"vm":"a","slots":[7]}"#, "slots[0]"),
        ] as [(Method, String?, String)])
    func paths(method: Method, json: String?, path: String) throws {
        let found = try fault(method, json)
        #expect(found?.code == -32_602)
        #expect(found?.data.path == path, "\(found?.message ?? "taken")")
    }

    @Test(
        "a fault of a slot shows the slot's place in the array",
        arguments: [
            (#""guestPhysicalAddress":0"#, "size"),
            (#""size":1"#, "guestPhysicalAddress"),
            (#""guestPhysicalAddress":0,"size":1,"size":1"#, "size"),
            (#""guestPhysicalAddress":0,"size":1,"userspaceAdress":1"#, "userspaceAdress"),
            (#""guestPhysicalAddress":0,"size":null"#, "size"),
            (#""guestPhysicalAddress":0,"size":[]"#, "size"),
            (#""guestPhysicalAddress":0,"size":-1"#, "size"),
            (#""guestPhysicalAddress":0,"size":1.0"#, "size"),
            (#""guestPhysicalAddress":0,"size":1e3"#, "size"),
            (#""guestPhysicalAddress":0,"size":18446744073709551616"#, "size"),
            (#""guestPhysicalAddress":0,"size":"18446744073709551616""#, "size"),
            (#""guestPhysicalAddress":0,"size":"0x10000000000000000""#, "size"),
            (#""guestPhysicalAddress":0,"size":"""#, "size"),
            (#""guestPhysicalAddress":0,"size":"0x""#, "size"),
            (#""guestPhysicalAddress":0,"size":"0X1""#, "size"),
            (#""guestPhysicalAddress":0,"size":"x1""#, "size"),
            (#""guestPhysicalAddress":0,"size":"0xg""#, "size"),
            (#""guestPhysicalAddress":0,"size":"1k""#, "size"),
            (#""guestPhysicalAddress":0,"size":"-1""#, "size"),
            (#""guestPhysicalAddress":0,"size":"+1""#, "size"),
            (#""guestPhysicalAddress":0,"size":" 1""#, "size"),
            (#""guestPhysicalAddress":0,"size":"1 ""#, "size"),
            (#""guestPhysicalAddress":0,"size":"0x-1""#, "size"),
            (#""guestPhysicalAddress":0,"size":"010""#, "size"),
            (#""guestPhysicalAddress":0,"size":1,"slot":"1""#, "slot"),
            (#""guestPhysicalAddress":0,"size":1,"slot":-1"#, "slot"),
            (#""guestPhysicalAddress":0,"size":1,"addressSpace":1.5"#, "addressSpace"),
            (#""guestPhysicalAddress":0,"size":1,"memory":7"#, "memory"),
            (#""guestPhysicalAddress":0,"size":1,"flags":"readonly""#, "flags"),
            (#""guestPhysicalAddress":0,"size":1,"flags":["readonly","readonly"]"#, "flags[1]"),
            (#""guestPhysicalAddress":0,"size":1,"flags":["readonly",7]"#, "flags[1]"),
            (#""guestPhysicalAddress":0,"size":1,"flags":["read-only"]"#, "flags[0]"),
        ])
    func slots(members: String, path: String) throws {
        let json = #"{"slots":[{"guestPhysicalAddress":0,"size":1},{\#(members)}],"vm":"a"}"#
        let found = try fault(.memslotsSubmit, json)
        #expect(found?.code == -32_602)
        #expect(found?.data.path == "slots[1].\(path)", "\(found?.message ?? "taken")")
    }

    @Test("the first of several faults is reported")
    func first() throws {
        let json = #"{"vm":"a","slots":[{"size":-1,"x":1}],"y":2}"#
        #expect(try fault(.memslotsSubmit, json)?.data.path == "slots[0].size")
    }

    @Test("a slip names the nearest member, and an odd one what there is")
    func spelling() throws {
        let near = try fault(.memslotsSubmit, #"{"vm":"a","slots":[],"expectedGenration":1}"#)
        #expect(
            near?.message
                == #"expectedGenration: unknown member; did you mean "expectedGeneration"?"#)
        let flag = try fault(.vmCreate, #"{"vm":"a","simulated":{"flags":["read-only"]}}"#)
        #expect(flag?.message.contains(#"did you mean "readonly"?"#) == true)
        let far = try fault(.vmDestroy, #"{"vm":"a","qqqqqqqq":1}"#)
        #expect(far?.message == "qqqqqqqq: unknown member; known here: vm")
        let long = String(repeating: "x", count: 100_000)
        #expect(try #require(try fault(.vmDestroy, "{\"\(long)\":1}")?.message).utf8.count < 300)
    }
}
