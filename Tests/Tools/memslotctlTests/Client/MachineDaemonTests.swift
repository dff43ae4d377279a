import Foundation
import Glibc
import TestSupport
import Testing
import WireTestSupport

/// A shell script with a /run of its own, where the machine's daemon may listen.
@Suite(
    "the machine's daemon is found", .serialized,
    .enabled(
        if: PrivateMounts.areAvailable && Executable.areBuilt
            && BuiltProducts.tool("setpriv") != nil,
        "needs root, unshare, setpriv, and the built programs"))
struct MachineDaemonTests {
    /// Runs `script` with `$ctl`, `$daemon` and `serve`, which starts the machine's daemon.
    private func run(_ script: String) throws -> CommandRun.Outcome {
        let directory = try ScratchDirectory()
        let whole = """
            set -e
            mount -t tmpfs -o mode=755 none /run
            mkdir -p /run/user/0 /run/memslots
            export XDG_RUNTIME_DIR=/run/user/0
            unset MEMSLOTS_SOCKET
            ctl='\(Executable.memslotctl ?? "")'
            serve() {
                '\(Executable.memslotd ?? "")' --socket /run/memslots/memslotd.sock 2>/dev/null &
                daemon=$!
                for _ in $(seq 600); do [ ! -S /run/memslots/memslotd.sock ] || break; sleep 0.1; done
            }
            trap 'kill ${daemon-} 2>/dev/null || true' EXIT
            \(script)
            """
        return try CommandRun(
            ["--mount", "/bin/sh", "-c", whole], program: PrivateMounts.unshare, in: directory.path
        ).outcome()
    }

    @Test("a client without a daemon of its own uses the machine's, also beside a stale socket")
    func fallback() throws {
        let python = BuiltProducts.tool("python3") ?? "true"
        let outcome = try run(
            """
            serve
            "$ctl" info | sed -n 's/.* at //p'
            mkdir /run/user/0/memslots
            \(python) -c 'import socket; socket.socket(socket.AF_UNIX).bind("/run/user/0/memslots/memslotd.sock")'
            "$ctl" info | sed -n 's/.* at //p'
            PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='\(Repository.path("Sources/Bindings/python"))' \
                \(python) -c 'import memslots; print(memslots.Client().path)'
            """)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count >= 2, "\(outcome)")
        #expect(lines.allSatisfy { $0 == "/run/memslots/memslotd.sock" }, "\(lines)")
    }

    @Test("the hint without a daemon is systemd's command where the unit is installed")
    func unit() throws {
        let outcome = try run(
            """
            "$ctl" list || true
            mkdir -p /run/systemd/system
            touch /run/systemd/system/memslotd.socket
            "$ctl" list || true
            "$ctl" list --socket /run/elsewhere || true
            """)
        let lines = outcome.errors.split(separator: "\n").map { String($0) }
        try #require(lines.count == 6, "\(outcome)")
        #expect(lines[0].contains("/run/user/0/memslots/memslotd.sock: there is no daemon"))
        #expect(lines[1].contains("Start a daemon with: ") && lines[1].hasSuffix("memslotd"))
        #expect(lines[3] == "Start the daemon with: systemctl start memslotd.socket")
        #expect(lines[5].hasSuffix(" --socket /run/elsewhere"))
        #expect(!lines[0].contains("memslotd)"))
    }

    @Test("a user who may not connect learns of the group, and is not told to start a daemon")
    func forbidden() throws {
        let outcome = try run(
            """
            serve
            chmod 755 /run/memslots
            as() { LLVM_PROFILE_FILE=/dev/null XDG_RUNTIME_DIR=/none setpriv --reuid 54321 --regid 54321 --clear-groups "$ctl" list || true; }
            as
            chgrp 54322 /run/memslots/memslotd.sock
            chmod 660 /run/memslots/memslotd.sock
            as
            """)
        let lines = outcome.errors.split(separator: "\n").map { String($0) }
        try #require(lines.count == 4, "\(outcome)")
        #expect(lines[0].contains("may not connect; the socket is open to user 0 alone"))
        #expect(lines[2].contains("user 0 and group 54322"))
        for line in [lines[1], lines[3]] {
            #expect(line.contains("--allow-gid") && line.contains("SocketGroup="))
        }
        #expect(!outcome.errors.contains("Start "))
    }
}
