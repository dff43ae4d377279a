import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

extension ServerTests {
    @Suite(
        "other users",
        .enabled(if: OtherUser.isPossible, "needs root, and Python to become somebody else"))
    struct OtherUserTests {
        private static let create =
            #"{"id":1,"method":"vm.create","params":{"vm":"a","backend":"simulated"}}"#
        private static let list = #"{"id":2,"method":"vm.list"}"#

        @Test("a member of one group does everything, of the other reads, any other user nothing")
        func roles() throws {
            let access = PeerAccess(group: 4_242, readOnlyGroup: 4_343)
            let server = try RunningServer(access: access, makesDirectory: true)
            var own = try server.connect()
            try own.makeVM("a")
            // Let in by the path's group, and by the access list.
            let full = try OtherUser(groups: [4_242]).ask(server.path, [Self.create, Self.list])
            #expect(full.map(\.errorCode) == [nil, nil])
            // Its own VM, not the one of the server's user.
            #expect(full.last?["result"]?["vms"]?.elements.count == 1)
            let looking = try OtherUser(groups: [4_343]).ask(
                server.path, [Self.create, Self.list])
            #expect(looking.map(\.errorCode) == [-32_010, nil])
            // Others can't even connect, as the file system has it.
            #expect(try OtherUser(groups: [4_444]).ask(server.path, [Self.list]).isEmpty)
            chmod(server.path.path, 0o666)
            chmod(server.directory.path("groups"), 0o755)
            let refused = try OtherUser(groups: [4_444]).ask(server.path, [Self.list])
            #expect(refused.map(\.errorKind) == ["not-permitted"])
            #expect(refused.first?["id"]?.isNull == true)
        }

        @Test("a peer's primary group counts like the others")
        func primaryGroup() throws {
            for (access, code) in [
                (PeerAccess(group: OtherUser.number), nil),
                (PeerAccess(readOnlyGroup: OtherUser.number), -32_010),
            ] {
                let server = try RunningServer(access: access, makesDirectory: true)
                let answers = try OtherUser(groups: []).ask(
                    server.path, [Self.create, Self.list])
                #expect(answers.map(\.errorCode) == [code, nil])
            }
        }

        @Test("a user that is allowed by number does everything")
        func allowed() throws {
            let server = try RunningServer(access: PeerAccess(users: [OtherUser.number]))
            chmod(server.path.path, 0o666)
            chmod(server.directory.path, 0o755)
            let answers = try OtherUser(groups: []).ask(server.path, [Self.create, Self.list])
            #expect(answers.map(\.errorCode) == [nil, nil])
        }
    }
}

/// A client that runs as another user.
private struct OtherUser {
    static let number: UInt32 = 54_321
    static var isPossible: Bool { geteuid() == 0 && access("/usr/bin/python3", X_OK) == 0 }

    let groups: [Int]

    private static let script = """
        import os, socket, sys
        os.setgroups([int(group) for group in sys.argv[2].split()])
        os.setresgid(54321, 54321, 54321)
        os.setresuid(54321, 54321, 54321)
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(sys.argv[1])
        except PermissionError:
            sys.exit(0)
        lines = s.makefile("r")
        for request in sys.argv[3:]:
            s.sendall(request.encode() + b"\\n")
            sys.stdout.write(lines.readline())
        """

    /// Sends the lines one by one.
    ///
    /// - Returns: the replies; none if it may not connect.
    func ask(_ path: SocketPath, _ lines: [String]) throws -> [JSONValue] {
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments =
            ["-c", Self.script, path.path, groups.map(String.init).joined(separator: " ")] + lines
        let output = Foundation.Pipe()
        process.standardOutput = output
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try text.split(separator: 0x0A).map { try JSONDocument(parsing: Array($0)).root }
    }
}
