"""Events as an iterator, of a daemon and of a run."""

import errno
import os
import socket
import sys
import tempfile
import threading

import memslots
import pytest
from conftest import slots
from memslots import events
from memslots.stream import Deadline


def test_a_follower_of_one_vm_has_its_array_after_each_event(client, vm):
    with client.events(vm="demo", timeout=10) as stream:
        array = stream.snapshot
        assert (array.vm, array.generation) == ("demo", 0)
        vm.submit(slots(3))
        vm.submit(slots(1))
        vm.submit([slot.replace(flags=memslots.Flags.LOG_DIRTY_PAGES) for slot in vm.get()])
        vm.destroy()
        kinds = []
        for event in stream:
            kinds.append(type(event).__name__)
            if isinstance(event, events.Committed):
                array = event.apply(array)
        assert kinds == ["Committed"] * 3 + ["Destroyed"]
        assert array.generation == 3 and [slot.flags for slot in array] == [1]
        with pytest.raises(memslots.ConnectionLostError, match="no Committed"):
            stream.wait_for(events.Committed)


def test_events_of_all_vms(client):
    with client.events(timeout=10) as stream:
        assert stream.snapshots == ()
        with client.create_vm("new", backend="simulated"):
            pass
        created = next(stream)
        assert isinstance(created, events.Created) and (created.vm, created.backend) == (
            "new",
            "simulated",
        )
        assert isinstance(next(stream), events.Destroyed)
        with pytest.raises(memslots.RequestTimeoutError):
            stream.next(0.01)
        with pytest.raises(memslots.RequestTimeoutError):
            stream.next(0)


def test_a_stream_that_nobody_reads_delays_no_request(client, vm):
    with vm.events(), vm.events():
        for count in range(60):
            vm.submit(slots(count % 2 + 1))
    assert vm.generation == 60


def test_a_wait_ends_in_time_though_other_events_come(client, vm):
    with vm.events(timeout=20) as stream:
        for count in range(3):
            vm.submit(slots(count + 1))
        # What has arrived is read also without any time.
        stream.wait_for(events.Committed)
        with pytest.raises(
            memslots.RequestTimeoutError, match="no Failed within 0 s; other events that came: 2"
        ):
            stream.wait_for(events.Failed, timeout=0)
        stop = threading.Event()

        def change():
            count = 0
            while not stop.wait(0.02):
                count += 1
                vm.submit(slots(count % 3 + 1))

        # An event comes in time each time, so that only an end of the whole wait ends it.
        thread = threading.Thread(target=change)
        timer = threading.Timer(20, stop.set)
        thread.start(), timer.start()
        try:
            with pytest.raises(memslots.RequestTimeoutError, match="no Failed within 0.3 s"):
                stream.wait_for(events.Failed, timeout=0.3)
            assert not stop.is_set()
        finally:
            stop.set(), timer.cancel()
            thread.join(20)


def test_after_its_end_a_wait_reads_only_what_has_arrived():
    """Else a server that sends faster than we read would prolong it."""
    deadline = Deadline(events.Failed, 0)
    assert deadline.remaining() == 0
    deadline.skip(has_more=True)
    with pytest.raises(memslots.RequestTimeoutError, match="other events that came: 2"):
        deadline.skip(has_more=False)


def test_an_errno_is_a_name_and_a_number(client, vm):
    vm.submit(slots(1))
    vm.inject_fault(0, "EAGAIN")
    with vm.events(timeout=10) as stream:
        with pytest.raises(memslots.RolledBackError) as failed:
            vm.submit([])
        event = stream.wait_for(events.RolledBack)
    assert (event.errno, event.errno_number) == ("EAGAIN", errno.EAGAIN)
    assert (failed.value.errno_name, failed.value.errno) == ("EAGAIN", errno.EAGAIN)
    event = events.from_wire(
        "memslots.failed",
        {"vm": "a", "generation": 1, "errno": "ENOMEM", "undoErrno": "EIO", "slots": []},
    )
    assert (event.errno_number, event.undo_errno_number) == (errno.ENOMEM, errno.EIO)


def test_a_stream_shows_whether_it_has_ended(client, vm):
    stream = vm.events()
    assert repr(stream) == "<EventStream of 'demo'>"
    stream.close()
    assert repr(stream) == "<ended EventStream of 'demo'>"


def test_a_stream_of_an_unknown_vm(client):
    with pytest.raises(memslots.NotFoundError):
        client.events(vm="nobody")


def test_a_stream_ends_with_an_error_when_the_daemon_does(memslot_daemon, client):
    vm = client.create_vm("demo", backend="simulated")
    stream = vm.events(timeout=10)
    memslot_daemon.kill()
    with pytest.raises(memslots.ConnectionLostError):
        list(stream)


def test_a_client_made_from_a_socket_streams_on_it(memslot_daemon, vm):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(memslot_daemon.socket)
    with memslots.Client(sock=sock, timeout=10) as client:
        with client.events(vm, timeout=10) as stream:
            vm.submit(slots(1))
            assert stream.wait_for(events.Committed).generation == 1
            vm.submit(slots(2))
        vm.submit(slots(1))
        client.vms()
        with pytest.raises(memslots.RequestTimeoutError):
            client.next_event(0)


def test_an_unknown_event_is_passed_on():
    event = events.from_wire("vm.renamed", {"vm": "a", "to": "b"})
    assert isinstance(event, events.Unknown) and (event.name, event.vm, event.params["to"]) == (
        "vm.renamed",
        "a",
        "b",
    )


def test_the_events_of_a_run(memslot_run, kvm_vm, vmm):
    """A VMM waits until a client follows it."""
    with tempfile.TemporaryDirectory() as directory:
        path, go = os.path.join(directory, "s"), os.path.join(directory, "go")
        reports = []

        def run():
            reports.append(
                memslot_run(sys.executable, vmm, go, options=["--socket", path], timeout=60)
            )

        thread = threading.Thread(target=run)
        thread.start()
        with memslots.connect(path, wait=30) as client, client.events(timeout=30) as stream:
            with open(go, "w"):
                pass
            seen = list(stream)
        thread.join(60)
    ended, transactions = seen[-1], [e for e in seen if isinstance(e, events.RunTransaction)]
    assert isinstance(ended, events.RunEnded) and ended.status == 0 and ended.calls == 4
    assert sum(t.calls for t in transactions) == 4 and sum(t.hole_count for t in transactions) == 2
    assert ended.missing_bytes == reports[0].missing_bytes == 1 << 20
