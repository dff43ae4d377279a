import Glibc
import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

extension ServerTests {
    @Suite("who may connect")
    struct PeerAccessTests {
        @Test("the server's own user, root and those allowed do everything, the others nothing")
        func users() {
            let access = PeerAccess(users: [1_001])
            #expect(access.role(of: 1_000, groups: [], own: 1_000) == .full)
            #expect(access.role(of: 0, groups: [], own: 1_000) == .full)
            #expect(access.role(of: 1_001, groups: [], own: 1_000) == .full)
            #expect(access.role(of: 1_002, groups: [0, 1_000], own: 1_000) == nil)
        }

        @Test("one group does everything, another reads, and the greater right counts")
        func groups() {
            let access = PeerAccess(group: 50, readOnlyGroup: 60)
            #expect(access.role(of: 5, groups: [50], own: 1) == .full)
            #expect(access.role(of: 5, groups: [60, 7], own: 1) == .readOnly)
            #expect(access.role(of: 5, groups: [60, 50], own: 1) == .full)
            #expect(access.role(of: 1, groups: [60], own: 1) == .full)
            #expect(access.role(of: 5, groups: [7], own: 1) == nil)
        }

        @Test("a server of one user's VMs serves them to everybody who may connect")
        func servedUser() throws {
            var access = PeerAccess()
            access.servedUser = getuid() &+ 1
            let server = try RunningServer(access: access)
            _ = try server.service.observe(vm: "theirs", of: getuid() &+ 1)
            _ = try server.service.observe(vm: "own")
            var client = try server.connect()
            let answer = try client.ask("{\"id\":1,\"method\":\"vm.list\"}")
            let names = answer["result"]?["vms"]?.elements.map { $0["vm"]?.string }
            #expect(names == ["theirs"])
        }
    }
}
