import Foundation
import TestSupport
import Testing
import WireTestSupport

@Suite("the Python client")
struct PythonClientTests {
    private static let python = BuiltProducts.tool("python3")

    @Test("it needs nothing but Python's own")
    func dependencies() throws {
        let text = try String(
            contentsOf: Repository.url("Sources/Bindings/python/pyproject.toml"), encoding: .utf8)
        #expect(text.contains("\ndependencies = []\n"))
    }

    @Test(
        "its framing keeps lines, batches, events and descriptors apart",
        .enabled(if: PythonClientTests.python != nil, "there is no python3"))
    func framing() throws {
        let process = ChildProcess()
        process.executableURL = URL(filePath: try #require(Self.python))
        process.arguments = ["-c", Self.script]
        process.environment = ProcessInfo.processInfo.environment.merging([
            "PYTHONPATH": Repository.path("Sources/Bindings/python"),
            "PYTHONDONTWRITEBYTECODE": "1",
        ]) { $1 }
        let output = Pipe()
        process.standardError = output
        process.standardOutput = output
        try process.run()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(text)")
        #expect(text == "done\n")
    }

    /// A server of a few lines in the same process, on the other end of a socket pair.
    private static let script = #"""
        import json, os, socket, threading
        from memslots import Client, MemslotsError

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        asked = []

        def line(message):
            return json.dumps(message).encode() + b"\n"

        def serve():
            buffer, fds = b"", []
            def ask():
                nonlocal buffer
                while b"\n" not in buffer:
                    data, came, _, _ = socket.recv_fds(theirs, 65536, 16)
                    buffer += data
                    fds.extend(came)
                text, buffer = buffer.split(b"\n", 1)
                asked.append((json.loads(text), fds[:]))
                fds.clear()
                return asked[-1][0]
            event = {"jsonrpc": "2.0", "method": "vm.destroyed", "params": {"vm": "x"}}
            # An answer in pieces, an event before it on the same write.
            first = ask()
            text = line(event) + line({"jsonrpc": "2.0", "id": first["id"], "result": {"n": 2**63 + 1}})
            for index in range(0, len(text), 7):
                theirs.sendall(text[index:index + 7])
            # A batch, answered out of order.
            batch = ask()
            answers = [{"jsonrpc": "2.0", "id": r["id"], "result": {"of": r["method"]}} for r in batch]
            answers[1] = {"jsonrpc": "2.0", "id": batch[1]["id"],
                          "error": {"code": -32001, "message": "no", "data": {"kind": "unknown-vm"}}}
            theirs.sendall(line(answers[::-1]))
            # A descriptor with an answer, after an event.
            export = ask()
            theirs.sendall(line(event))
            reader, writer = os.pipe()
            os.write(writer, b"guest")
            socket.send_fds(theirs, [line({"jsonrpc": "2.0", "id": export["id"], "result": {"fd": 0}})], [reader])
            os.close(reader)
            create = ask()
            theirs.sendall(line({"jsonrpc": "2.0", "id": create["id"],
                                 "error": {"code": -32602, "message": "fd: no",
                                           "data": {"kind": "invalid-params", "path": "fd"}}}))
            ask()
            theirs.close()

        server = threading.Thread(target=serve)
        server.start()
        client = Client(sock=ours)
        assert client.call("server.info") == {"n": 2**63 + 1}
        one, two = client.batch([("vm.list", None), ("memslots.get", {"vm": "x"})])
        assert one == {"of": "vm.list"} and two.kind == "unknown-vm", (one, two)
        result = client.call("memory.export", {"vm": "x", "memory": "m"})
        assert os.read(result["fds"][0], 5) == b"guest"
        reader, writer = os.pipe()
        try:
            client.call("memory.create", {"vm": "x", "memory": "m", "fd": 0, "pad": "p" * 100000}, fds=[reader])
            assert False
        except MemslotsError as error:
            assert error.code == -32602 and error.data["path"] == "fd"
        client.notify("vm.list")
        server.join()
        assert len(asked[3][1]) == 1 and os.fstat(asked[3][1][0]).st_ino == os.fstat(reader).st_ino
        assert "id" not in asked[4][0]
        assert [client.next_event(0).vm for _ in range(2)] == ["x", "x"]
        print("done")
        """#
}
