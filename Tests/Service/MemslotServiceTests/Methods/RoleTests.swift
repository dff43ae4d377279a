import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

@Suite("roles and users")
struct RoleTests {
    let service = MemslotService()

    /// Parameters with which each method succeeds, or at least gets past its members.
    private static let params: [Method: String] = [
        .serverInfo: "{}", .vmList: "{}", .metricsGet: "{}",
        .vmCreate: "{\"vm\":\"new\",\"backend\":\"simulated\"}",
        .vmDestroy: "{\"vm\":\"a\"}", .vmRecover: "{\"vm\":\"a\"}",
        .memoryCreate: "{\"vm\":\"a\",\"memory\":\"m\",\"backing\":\"memfd\",\"size\":4096}",
        .memoryList: "{\"vm\":\"a\"}",
        .memoryDestroy: "{\"vm\":\"a\",\"memory\":\"ram\"}",
        .memoryExport: "{\"vm\":\"a\",\"memory\":\"none\"}",
        .observerAttach: "{\"vm\":\"a\",\"observer\":\"o\",\"fd\":0}",
        .observerList: "{\"vm\":\"a\"}",
        .observerDetach: "{\"vm\":\"a\",\"observer\":\"o\"}",
        .memslotsSubmit: "{\"vm\":\"a\",\"slots\":[]}",
        .memslotsPlan: "{\"vm\":\"a\",\"slots\":[]}",
        .memslotsGet: "{\"vm\":\"a\"}",
        .memslotsTranslate: "{\"vm\":\"a\",\"addresses\":[]}",
        .memslotsHistory: "{\"vm\":\"a\"}",
        .dirtylogGet: "{\"vm\":\"a\",\"slot\":0}",
        .eventsSubscribe: "{\"vm\":\"a\"}", .eventsUnsubscribe: "{\"vm\":\"a\"}",
        .faultInject: "{\"vm\":\"a\",\"clear\":true}",
        .guestTouch: "{\"vm\":\"a\",\"guestPhysicalAddress\":0,\"size\":1}",
    ]

    // ObservedVMTests has run.setAtomic, which depends on the user alone.
    @Test(
        "a read-only peer changes nothing",
        arguments: Method.allCases.filter { $0 != .runSetAtomic })
    func readOnly(method: Method) throws {
        let owner = WireClient(service)
        try owner.createVM("a")
        try owner.submit("a", page(0, at: "0x0", ",\"flags\":[\"log-dirty-pages\"]"))
        let reader = WireClient(service, role: .readOnly)
        let looks: Set<Method> = [
            .serverInfo, .vmList, .memoryList, .observerList, .memslotsPlan, .memslotsGet,
            .memslotsTranslate, .memslotsHistory, .dirtylogGet, .eventsSubscribe,
            .eventsUnsubscribe, .metricsGet,
        ]
        let params = try #require(Self.params[method])
        let answer = try reader.call(method.rawValue, params)
        #expect((answer.kind == "not-permitted") == !looks.contains(method), "\(answer.line)")
        if looks.contains(method) { #expect(answer.error == nil, "\(answer.line)") }
        if !looks.contains(method) { #expect(answer.error?["code"]?.int == -32010) }
    }

    @Test("reading the dirty log and clearing it is a change")
    func clearing() throws {
        let owner = WireClient(service)
        try owner.createVM("a")
        try owner.submit("a", page(0, at: "0x0", ",\"flags\":[\"log-dirty-pages\"]"))
        try owner.call("guest.touch", "{\"vm\":\"a\",\"guestPhysicalAddress\":0,\"size\":1}")
        let reader = WireClient(service, role: .readOnly)
        let answer = try reader.call("dirtylog.get", "{\"vm\":\"a\",\"slot\":0,\"clear\":true}")
        #expect(answer.kind == "not-permitted")
        #expect(
            try reader.call("dirtylog.get", "{\"vm\":\"a\",\"slot\":0}").result?["dirty"]?.int
                == 1)
    }

    @Test(
        "another user's VM does not exist",
        arguments: Method.allCases.filter { $0 != .runSetAtomic })
    func users(method: Method) throws {
        let owner = WireClient(service, user: 1_000)
        try owner.createVM("a")
        let stranger = WireClient(service, user: 1_001)
        let params = try #require(Self.params[method])
        let answer = try stranger.call(method.rawValue, params)
        if params.contains("\"vm\":\"a\"") {
            #expect(answer.kind == "unknown-vm", "\(answer.line)")
        } else {
            #expect(answer.error == nil, "\(answer.line)")
        }
        #expect(!answer.line.contains("\"a\"") || answer.kind == "unknown-vm")
    }

    @Test("two users have VMs of one name")
    func names() throws {
        let one = WireClient(service, user: 1_000)
        let two = WireClient(service, user: 1_001)
        try one.createVM("a")
        try two.createVM("a")
        try one.submit("a", page(0, at: "0x0"))
        #expect(
            try two.call("memslots.get", "{\"vm\":\"a\"}").result?["slots"]?.list.isEmpty == true)
        try two.call("vm.destroy", "{\"vm\":\"a\"}")
        #expect(try one.call("memslots.get", "{\"vm\":\"a\"}").result?["generation"]?.int == 1)
    }
}
