"""Where the client connects, whom it trusts, timeouts, lost connections, threads, and framing."""

import errno
import json
import os
import pickle
import socket
import subprocess
import threading
import time

import memslots
import pytest
from conftest import Server, slots
from memslots import _socket, events

EVENT = {"jsonrpc": "2.0", "method": "vm.destroyed", "params": {"vm": "x"}}


def test_the_default_socket_is_where_memslotd_listens(monkeypatch):
    monkeypatch.setattr(_socket, "_MACHINE", "/none")
    path = memslots.default_socket_path
    assert path({"MEMSLOTS_SOCKET": "/a/s", "XDG_RUNTIME_DIR": "/b"}) == "/a/s"
    assert path({"XDG_RUNTIME_DIR": "/b"}) == "/b/memslots/memslotd.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert path({}) == path({"XDG_RUNTIME_DIR": "relative"}) == "/run/memslots/memslotd.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert path({}) == "/tmp/memslots-1000/memslotd.sock"


def test_the_machine_s_socket_is_used_where_nobody_listens_at_our_own(tmp_path, monkeypatch):
    machine = tmp_path / "machine"
    monkeypatch.setattr(_socket, "_MACHINE", str(machine))
    own = tmp_path / "memslots" / "memslotd.sock"
    own.parent.mkdir()
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(own))  # Stale until it listens.
        other.bind(str(machine))
        assert memslots.default_socket_path(environment) == str(own)
        other.listen()
        assert memslots.default_socket_path(environment) == str(machine)
        listener.listen()
        assert memslots.default_socket_path(environment) == str(own)


def test_it_finds_the_daemon_without_an_argument(memslot_daemon, monkeypatch):
    """memslotd itself chooses the socket; the client must find it there."""
    runtime = os.path.join(memslot_daemon.directory, "runtime")
    os.mkdir(runtime, 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.delenv("MEMSLOTS_SOCKET", raising=False)
    daemon = subprocess.Popen([memslot_daemon.program], stderr=subprocess.DEVNULL)
    try:
        with memslots.connect(wait=10) as client:
            assert client.info().pid == daemon.pid
        monkeypatch.setenv("MEMSLOTS_SOCKET", memslot_daemon.socket)
        with memslots.connect() as client:
            assert client.info().pid == memslot_daemon.process.pid
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0


def test_nobody_listens(tmp_path):
    with pytest.raises(memslots.ConnectError, match="does memslotd listen") as missing:
        memslots.connect(tmp_path / "none")
    assert missing.value.errno == errno.ENOENT and isinstance(missing.value, ConnectionError)
    begin = time.monotonic()
    with pytest.raises(memslots.ConnectError):
        memslots.connect(tmp_path / "none", wait=0.2)
    assert time.monotonic() - begin >= 0.2
    with pytest.raises(memslots.ConnectError, match="too long"):
        memslots.connect("x" * 200)


def test_a_full_queue_is_waited_for(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with memslots.Client(path):
            with pytest.raises(memslots.ConnectError, match="accepts no connection") as full:
                memslots.Client(path, timeout=0.1)
            assert full.value.errno == errno.ETIMEDOUT
            thread = threading.Timer(0.1, listener.accept)
            thread.start()
            memslots.Client(path, timeout=20).close()
            thread.join()


class Foreign:
    """A listening socket whose server seems to run as user 4711."""

    def __init__(self, path, monkeypatch):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        monkeypatch.setattr(_socket, "_user", lambda connection: 4711)


def test_a_foreign_server_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "s"
    _listener = Foreign(path, monkeypatch)
    with pytest.raises(memslots.UntrustedServerError, match="user 4711 listens there") as refused:
        memslots.connect(path)
    assert isinstance(refused.value, PermissionError)
    memslots.connect(path, server_uid=4711).close()


def test_the_owner_of_a_directory_that_only_root_can_replace_is_trusted(monkeypatch):
    directory = f"/run/memslots-test-{os.getpid()}"
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a directory below /run")
    os.mkdir(directory, 0o755)
    try:
        _listener = Foreign(directory + "/s", monkeypatch)
        with pytest.raises(memslots.UntrustedServerError):
            memslots.connect(directory + "/s")
        os.chown(directory, 4711, 4711)
        memslots.connect(directory + "/s").close()
        inner = directory + "/inner"
        os.mkdir(inner)
        os.chown(inner, 4711, 4711)
        os.rename(directory + "/s", inner + "/s")
        with pytest.raises(memslots.UntrustedServerError):  # The directory above is not root's.
            memslots.connect(inner + "/s")
        os.chown(directory, 0, 0)
        memslots.connect(inner + "/s").close()
        os.chmod(directory, 0o775)
        with pytest.raises(memslots.UntrustedServerError):  # Root's group can replace `inner`.
            memslots.connect(inner + "/s")
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)


def test_the_servers_user_is_that_of_its_process(memslot_daemon):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(memslot_daemon.socket)
        assert _socket._user(connection) == os.geteuid()


def test_lines_batches_events_and_descriptors_are_kept_apart(pair):
    ours, theirs = pair

    def script(server):
        request, _ = server.ask()
        text = (
            json.dumps(EVENT)
            + "\n"
            + json.dumps({"id": request["id"], "result": {"n": 2**63 + 1}})
            + "\n"
        )
        for index in range(0, len(text), 7):
            theirs.sendall(text[index : index + 7].encode())
        batch, _ = server.ask()
        replies = [{"id": r["id"], "result": {"of": r["method"]}} for r in batch]
        replies[1] = {
            "id": batch[1]["id"],
            "error": {"code": -32001, "message": "no", "data": {"kind": "unknown-vm"}},
        }
        server.send(replies[::-1])
        request, _ = server.ask()
        server.send(EVENT)
        reader, writer = os.pipe()
        os.write(writer, b"guest")
        server.send(
            {"id": request["id"], "result": {"memory": "m", "size": "0x1000", "fd": 0}}, [reader]
        )
        os.close(reader), os.close(writer)
        request, fds = server.ask()
        assert request["params"]["fd"] == 0 and os.read(fds[0], 3) == b"mem"
        server.reply(
            request, error={"code": -32602, "message": "no", "data": {"kind": "invalid-params"}}
        )
        request, _ = server.ask()
        assert "id" not in request
        theirs.close()

    server = Server(theirs, script)
    client = memslots.Client(sock=ours, timeout=10)
    assert client.call("server.info") == {"n": 2**63 + 1}
    one, two = client.batch([("vm.list", None), ("memslots.get", {"vm": "x"})])
    assert one == {"of": "vm.list"} and two.kind == "unknown-vm"
    descriptor = client.vm("x").export_memory("m")
    assert os.read(descriptor, 5) == b"guest" and not os.get_inheritable(descriptor)
    os.close(descriptor)
    reader, writer = os.pipe()
    os.write(writer, b"mem")
    with pytest.raises(memslots.InvalidRequestError):
        client.call(
            "memory.create", {"vm": "x", "memory": "m", "fd": 0, "pad": "p" * 1000000}, fds=[reader]
        )
    client.notify("vm.list")
    server.finish()
    assert client.next_event() == client.next_event(0) == events.Destroyed("x", {"vm": "x"})
    with pytest.raises(memslots.ConnectionLostError):
        client.next_event()
    with pytest.raises(ValueError, match="at most 16"):
        client.call("x", fds=[0] * 17)


@pytest.mark.parametrize("wrong", [9999, -1, 1 << 40, "x"])
def test_a_wrong_descriptor_is_one_refused_request(client, vm, wrong):
    kind = TypeError if isinstance(wrong, str) else memslots.InvalidRequestError
    with client.events("demo", timeout=10) as stream:
        with pytest.raises(kind, match=str(wrong)):
            vm.adopt_memory("wrong", wrong)
        with pytest.raises(kind):
            client.call("memory.create", {"vm": "demo", "memory": "m", "fd": 0}, fds=[0, wrong])
        assert vm.submit(slots(1)).generation == 1  # on the same connection
        assert stream.wait_for(events.Committed).generation == 1


def test_descriptors_that_the_kernel_does_not_send_end_no_connection(client, vm, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "send_fds", refuse)
        with pytest.raises(memslots.SystemCallError, match="Too many references") as refused:
            vm.adopt_memory("rom", 0)
    assert refused.value.errno_name == "ETOOMANYREFS" and vm.generation == 0


def test_a_deadline_of_years_is_waited_for(client, vm):
    with pytest.raises(memslots.LimitExceededError):
        vm.submit([], quiesce_deadline=1e9)
    client.timeout = 1e12
    assert client.vms()[0].name == "demo"


def open_pipes():
    """The pipes of this process, by name."""
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            pass  # The listing's own.
    return names


def test_a_late_reply_is_dropped_with_its_descriptors(pair):
    ours, theirs = pair
    passed = []
    proceed = threading.Event()

    def script(server):
        late, _ = server.ask()
        proceed.wait(10)
        reader, writer = os.pipe()
        passed.append(os.readlink(f"/proc/self/fd/{reader}"))
        server.send(
            {"id": late["id"], "result": {"memory": "m", "size": "0x1000", "fd": 0}}, [reader]
        )
        os.close(reader), os.close(writer)
        server.reply(server.ask()[0], {"vms": []})

    server = Server(theirs, script)
    client = memslots.Client(sock=ours, timeout=0.05)
    with pytest.raises(memslots.RequestTimeoutError, match="memory.export") as late:
        client.vm("x").export_memory("m")
    assert isinstance(late.value, TimeoutError)
    proceed.set()
    client.timeout = 10
    assert client.vms() == ()
    server.finish()
    assert len(passed) == 1 and passed[0] not in open_pipes()


def test_a_server_that_reads_nothing_is_not_waited_for(pair):
    client = memslots.Client(sock=pair[0], timeout=0.1)
    with pytest.raises(memslots.RequestTimeoutError):
        client.call("x", {"pad": "p" * (8 << 20)})
    # Half of the line was sent, so the connection is of no use any more.
    with pytest.raises(memslots.ConnectionLostError):
        client.vms()


def test_a_deadline_of_the_request_is_waited_for(pair):
    def script(server):
        request, _ = server.ask()
        time.sleep(0.2)
        server.reply(
            request,
            error={
                "code": -32012,
                "message": "m",
                "data": {"kind": "quiesce-timeout", "vcpus": ["vcpu 0"], "readers": []},
            },
        )

    server = Server(pair[1], script)
    client = memslots.Client(sock=pair[0], timeout=0.05)
    with pytest.raises(memslots.QuiesceTimeoutError) as late:
        client.vm("x").submit([], quiesce_deadline=10)
    assert late.value.vcpus == ("vcpu 0",) and late.value.readers == ()
    server.finish()


def test_an_error_without_id_ends_what_waits(pair):
    ours, theirs = pair

    def script(server):
        server.ask()
        server.send(
            {
                "jsonrpc": "2.0",
                "id": None,
                "error": {
                    "code": -32009,
                    "message": "no room",
                    "data": {"kind": "limit-exceeded", "limit": "requestBytes"},
                },
            }
        )
        server.ask()
        theirs.sendall(b"{broken\n")

    server = Server(theirs, script)
    client = memslots.Client(sock=ours, timeout=10)
    with pytest.raises(memslots.LimitExceededError):
        client.vms()
    with pytest.raises(memslots.ConnectionLostError, match="not JSON"):
        client.vms()
    server.finish()


def test_reconnect_after_the_daemon_was_killed(memslot_daemon):
    client = memslot_daemon.client
    with client.create_vm("demo", backend="simulated"):
        pass
    memslot_daemon.kill()
    with pytest.raises(memslots.ConnectionLostError) as lost:
        client.vms()
    assert isinstance(lost.value, ConnectionError)
    with pytest.raises(memslots.ConnectError):
        client.reconnect()
    memslot_daemon.start()
    client.reconnect(wait=5)
    assert client.vms() == ()
    client.close()
    with pytest.raises(memslots.ClosedError, match="closed") as closed:
        client.vms()
    # As before there was a class of its own.
    assert isinstance(closed.value, memslots.ConnectionLostError) and closed.value.kind == "closed"
    with pytest.raises(memslots.ClosedError):
        client.reconnect()


@pytest.mark.memslotd("--state-dir", "{tmp_path}/state")
def test_a_kept_vm_is_there_after_kill(memslot_daemon):
    vm = memslot_daemon.client.create_vm("kept", backend="simulated")
    vm.create_memory("ram", 1 << 20)
    vm.submit(slots(2))
    array = vm.get()
    memslot_daemon.kill()
    memslot_daemon.start()
    vm.client.reconnect()
    assert vm.get() == array and vm.client.info().state.memory == "files"


def test_whether_a_lost_request_may_have_taken_effect(pair):
    ours, theirs = pair
    server = Server(theirs, lambda server: (server.ask(), theirs.close()))
    client = memslots.Client(sock=ours, timeout=10)
    with pytest.raises(memslots.ConnectionLostError) as lost:
        client.vms()
    assert lost.value.may_have_executed
    with pytest.raises(memslots.ConnectionLostError) as before:
        client.vms()
    assert not before.value.may_have_executed
    server.finish()


def test_threads_share_a_client(memslot_daemon):
    client = memslot_daemon.client
    failures = []

    def work(number):
        try:
            with client.create_vm(f"vm{number}", backend="simulated") as vm:
                vm.create_memory("ram", 1 << 20)
                for count in range(1, 9):
                    assert vm.submit(slots(count)).generation == count
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == [] and client.vms() == ()


def test_closing_wakes_a_thread_that_waits(pair):
    client = memslots.Client(sock=pair[0])
    caught = []

    def wait():
        try:
            client.next_event()
        except memslots.ClientClosedError as error:
            caught.append(error.kind)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)  # Either order must work; this one is the more likely then.
    client.close()
    thread.join(10)
    assert caught == ["closed"] and pair[0].fileno() == -1


def test_errors_can_be_pickled():
    """pytest-xdist and multiprocessing send them to another process."""
    error = memslots.errors.from_wire(
        {
            "code": -32006,
            "message": "m",
            "data": {"kind": "rolled-back", "errno": "ENOMEM", "operation": 1},
        }
    )
    for original in [
        error,
        memslots.ConnectionLostError("gone", "connection-lost", data={"sent": True}),
    ]:
        copy = pickle.loads(pickle.dumps(original))
        assert (
            type(copy) is type(original)
            and vars(copy) == vars(original)
            and copy.errno == original.errno
        )
    assert error.errno == errno.ENOMEM and error.operation == 1
