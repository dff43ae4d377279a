"""What several tests share. The package is the installed one; its plugin gives the fixtures."""

import json
import os
import socket
import threading
from pathlib import Path

import memslots
import pytest
from memslots import _session

REPOSITORY = Path(__file__).resolve().parents[3]
pytest_plugins = ["pytester"]


class Schema:
    """Checks messages by Docs/protocol.schema.json, and remembers which methods they were about."""

    def __init__(self):
        import jsonschema

        self.text = json.loads((REPOSITORY / "Docs/protocol.schema.json").read_text())
        self._validator = jsonschema.Draft202012Validator(self.text)
        self.called, self.replied, self.seen = set(), set(), set()
        self._methods = {}

    @property
    def methods(self):
        return set(self.text["$defs"]["params"]["$defs"])

    def check(self, reference, value):
        self._validator.evolve(
            schema={**self.text, "anyOf": [{"$ref": "#/$defs/" + reference}]}
        ).validate(value)

    def sent(self, message):
        for request in message if isinstance(message, list) else [message]:
            method = request["method"]
            if method in self.methods:
                self.check(f"params/$defs/{method}", request["params"])
                self.called.add(method)
            if "id" in request:
                self._methods[request["id"]] = method

    def received(self, message):
        if isinstance(message, dict) and "method" in message:
            self.check(f"events/$defs/{message['method']}", message["params"])
            self.seen.add(message["method"])
            return
        for reply in message if isinstance(message, list) else [message]:
            method = self._methods.get(reply["id"])
            if "result" in reply and method in self.methods:
                self.check(f"results/$defs/{method}", reply["result"])
                self.replied.add(method)
            elif "error" in reply:
                self.check("error", reply["error"])


@pytest.fixture
def schema(monkeypatch):
    """Every message of the test's clients is checked by the schema. (With one client at a time: ids
    are unique in a connection.)"""
    schema = Schema()
    line, dispatch = _session.Session.line, _session.Session._dispatch

    def checked_line(message):
        schema.sent(message)
        return line(message)

    def checked_dispatch(self, message, descriptors):
        schema.received(message)
        return dispatch(self, message, descriptors)

    monkeypatch.setattr(_session.Session, "line", staticmethod(checked_line))
    monkeypatch.setattr(_session.Session, "_dispatch", checked_dispatch)
    return schema


@pytest.fixture
def client(memslot_daemon):
    with memslot_daemon.connect(timeout=20) as client:
        yield client


@pytest.fixture
def vm(client):
    """A simulated VM with 16 MiB of memory called ``ram``."""
    with client.create_vm("demo", backend="simulated") as vm:
        vm.create_memory("ram", 16 << 20)
        yield vm


@pytest.fixture
def pair():
    """Two ends of a connection: the client's and the server's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def kvm_vm():
    """The descriptor of a VM on KVM."""
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/kvm does not open: {error.strerror}")
    os.close(descriptor)
    with memslots.kvm.create_vm() as vm:
        yield vm


@pytest.fixture
def vmm():
    """The path of a VMM that opens two holes of 512 KiB with four calls."""
    return Path(__file__).with_name("vmm.py")


class Server(threading.Thread):
    """The server's end of a pair, which follows a script."""

    def __init__(self, sock, script):
        super().__init__(daemon=True)
        self.sock, self._script, self.error = sock, script, None
        self._buffer, self._fds = b"", []
        self.start()

    def run(self):
        try:
            self._script(self)
        except BaseException as error:
            self.error = error

    def ask(self):
        """The next message, and the descriptors that came with it."""
        while b"\n" not in self._buffer:
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
            if not data:
                raise EOFError
            self._buffer += data
            self._fds += fds
        line, self._buffer = self._buffer.split(b"\n", 1)
        fds, self._fds = self._fds, []
        return json.loads(line), fds

    def reply(self, request, result=None, error=None):
        answer = {"error": error} if error else {"result": result or {}}
        self.send({"jsonrpc": "2.0", "id": request["id"], **answer})

    def send(self, message, fds=()):
        line = json.dumps(message).encode() + b"\n"
        if fds:
            socket.send_fds(self.sock, [line], fds)
        else:
            self.sock.sendall(line)

    def finish(self):
        self.join(10)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def slots(count, size=0x10000, first=0, **members):
    """Adjacent slots on ``ram``."""
    return [
        memslots.Slot(
            guest_address=first + index * size,
            size=size,
            memory="ram",
            memory_offset=index * size,
            **members,
        )
        for index in range(count)
    ]
