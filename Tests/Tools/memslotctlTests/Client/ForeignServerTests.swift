import Glibc
import TestSupport
import Testing
import WireTestSupport

/// A daemon of user 54321 in a directory of that user, and clients of root.
@Suite(
    "clients check whose server it is", .serialized,
    .enabled(
        if: Executable.areBuilt && geteuid() == 0 && BuiltProducts.tool("setpriv") != nil,
        "needs memslotctl, memslotd, root, and setpriv to run as another user"))
struct ForeignServerTests {
    private static let setpriv = BuiltProducts.tool("setpriv")
    private static let user: uid_t = 54_321

    private let base: ScratchDirectory
    private let directory: ScratchDirectory
    private let daemon: DaemonProcess

    init() throws {
        base = try ScratchDirectory(in: "/run")
        chmod(base.path, 0o755)
        directory = try ScratchDirectory(in: base.path)
        chown(directory.path, Self.user, Self.user)
        let setpriv = "\(Self.setpriv ?? "") --reuid=\(Self.user) --regid=\(Self.user)"
        daemon = try DaemonProcess(
            in: directory, shell: "set -- \(setpriv) --clear-groups \"$@\";")
        try #require(daemon.isReady, "\(daemon.log)")
    }

    private func memslotctl(_ options: String...) throws -> CommandRun.Outcome {
        try CommandRun(
            ["list", "--socket", daemon.socket] + options, in: base.path
        ).outcome()
    }

    private func python(_ option: String = "") throws -> CommandRun.Outcome {
        let script = """
            import sys
            sys.dont_write_bytecode = True
            sys.path.insert(0, "\(Repository.path("Sources/Bindings/python"))")
            from memslots import Client
            print(Client("\(daemon.socket)"\(option)).call("vm.list"))
            """
        return try CommandRun(
            ["-c", script], program: BuiltProducts.tool("python3"), in: base.path
        ).outcome()
    }

    @Test("an owner of the directory is trusted where only root can replace the directory")
    func trusted() throws {
        let outcome = try memslotctl()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try replay().status == 0)
    }

    @Test(
        "a directory that others can replace is refused with both users, but for --server-uid",
        arguments: ["others write", "another owner", "owner of the directory"])
    func refused(what: String) throws {
        switch what {
        case "others write": chmod(base.path, 0o775)
        case "another owner": chown(base.path, Self.user, 0)
        default: chown(directory.path, 0, 0)
        }
        let outcome = try memslotctl()
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("user 54321 listens there"))
        #expect(outcome.errors.contains("this client's user is 0"))
        #expect(outcome.errors.contains("--server-uid 54321"))
        #expect(!outcome.errors.contains("Start a daemon"))
        #expect(try replay().status == 1)
        #expect(try memslotctl("--server-uid", "54322").status == 1)
        let permitted = try memslotctl("--server-uid", "54321")
        #expect(permitted.status == 0, "\(permitted.errors)")
        #expect(try replay("--server-uid", "54321").status == 0)
        // So is what a message suggests.
        let unknown = try CommandRun(
            ["get", "x", "--socket", daemon.socket, "--server-uid", "54321"], in: base.path
        ).outcome()
        #expect(
            unknown.errors.contains("--socket \(daemon.socket) --server-uid 54321'"),
            "\(unknown.errors)")
    }

    private func replay(_ options: String...) throws -> CommandRun.Outcome {
        try CommandRun(
            ["replay", "--quiet", FixtureScenario.path, "--socket", daemon.socket] + options,
            in: base.path
        ).outcome()
    }

    @Test(
        "the Python client has the same rule",
        .enabled(if: BuiltProducts.tool("python3") != nil, "there is no python3"))
    func pythonClient() throws {
        let trusted = try python()
        #expect(trusted.output == "{'vms': []}\n", "\(trusted.errors)")
        chmod(base.path, 0o775)
        let refused = try python()
        #expect(refused.status == 1)
        #expect(refused.errors.contains("user 54321 listens there, our user is 0"))
        #expect(try python(", server_uid=54321").output == "{'vms': []}\n")
    }
}
