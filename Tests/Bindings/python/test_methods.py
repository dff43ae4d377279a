"""Every method of the protocol, by the typed client, on a daemon; messages checked by the schema."""

import fcntl
import mmap
import os
import socket

import memslots
import pytest
from conftest import slots
from memslots import Flags, Slot, events


def test_every_method_of_the_schema(schema, client):
    info = client.info()
    assert info.name == "memslots" and info.protocol == 1 and info.pid > 0
    assert info.backends["simulated"].available
    assert info.backends["simulated"].capabilities.max_slots == 32764
    assert info.limits["descriptors"] == 16 and info.state is None

    limits = memslots.SimulatorLimits(max_slots=8, address_spaces=2, flags=Flags(3))
    vm = client.create_vm("web", backend="simulated", limits=limits, ephemeral=True)
    assert vm.backend == "simulated"
    assert vm.capabilities.max_slots == 8 and vm.capabilities.flags == Flags(3)
    assert [(v.name, v.slots, v.state, v.observed) for v in client.vms()] == [
        ("web", 0, "ready", False)
    ]

    memory = vm.create_memory("ram", 1 << 20)
    assert memory == memslots.Memory("ram", 1 << 20, 4096) and vm.memories() == (memory,)
    with pytest.raises(memslots.UnavailableError, match="KVM_CAP_GUEST_MEMFD_FLAGS"):
        vm.create_memory("both", 1 << 20, backing="guest-memfd", shared=True)
    assert not vm.capabilities.shared_guest_memfd
    with vm.map_memory("ram") as shared:
        shared[0:5] = b"guest"
    descriptor = vm.export_memory("ram")
    assert os.pread(descriptor, 5, 0) == b"guest"
    os.close(descriptor)

    snapshot = client.subscribe("web")[0]
    assert (snapshot.vm, snapshot.generation, len(snapshot)) == ("web", 0, 0)
    array = slots(2, flags=Flags.LOG_DIRTY_PAGES)
    plan = vm.plan(array)
    receipt = vm.submit(array, expected_generation=0, always_quiesce=True, quiesce_deadline=0.5)
    assert plan.operations == receipt.operations and receipt.diff.added == ((0, 0), (0, 1))
    assert receipt.committed and receipt.retired and [slot.id for slot in receipt.slots] == [0, 1]
    assert vm.plan([]).quiesced and vm.plan([], continuity=True).because == "log-ends"
    with pytest.raises(ValueError, match="exclude"):
        vm.plan([], always_quiesce=True, continuity=True)
    event = client.next_event(5)
    assert isinstance(event, events.Committed) and event.receipt.operations == receipt.operations
    assert event.apply(snapshot) == vm.get() and vm.get(generation=0).slots == ()
    assert vm.get()[1].memory_offset == 0x10000 and vm.get().at(0x1FFFF).id == 1

    place = vm.translate(0x10004)
    assert (place.slot, place.offset, place.memory, place.memory_offset) == (1, 4, "ram", 0x10004)
    assert vm.translate(1 << 30) is None
    pieces = vm.translate_range(0x1FFF0, 0x20)
    assert [(p.guest_address, p.size, p.slot) for p in pieces] == [
        (0x1FFF0, 16, 1),
        (0x20000, 16, None),
    ]

    vm.touch(0x3FFF, 2)
    log = vm.dirty_log(0, clear=True)
    assert list(log) == [3, 4] and len(log) == 2 and log.pages == 16
    assert list(vm.dirty_log(memory="ram")) == []

    vm.inject_fault(0)
    with pytest.raises(memslots.RolledBackError):
        vm.submit([])
    assert isinstance(client.next_event(5), events.RolledBack)
    vm.clear_faults()
    assert vm.recover() == 1
    assert [receipt.generation for receipt in vm.history()] == [1]
    metrics = client.metrics()
    assert metrics.users[os.geteuid()]["slots"] == 2
    assert metrics.counters["commits"] == 1 and metrics.vms[0].counters["rollbacks"] == 1
    assert metrics.histograms["total"].count == 1 and metrics.gauges["slots"] == 2
    assert metrics.open_metrics.endswith("# EOF\n")

    vm.submit([])
    hung_up, ours = socket.socketpair()
    ours.close()
    with hung_up, pytest.raises(memslots.MemslotsError):
        vm.attach_observer("disk", hung_up.fileno())
    assert vm.observers() == ()
    with pytest.raises(memslots.NotFoundError):
        vm.detach_observer("disk")
    vm.destroy_memory("ram")
    client.unsubscribe("web")
    vm.destroy()
    with pytest.raises(memslots.UnavailableError):
        client.set_atomic(True)
    assert schema.called == schema.methods
    # ObserverTests of the daemon have a back end that replies.
    refused = {"run.setAtomic", "observer.attach", "observer.detach"}
    assert schema.replied == schema.methods - refused


def test_private_ranges_and_their_events(schema, client, vm):
    assert vm.capabilities.memory_attributes
    array = client.subscribe("demo")[0]
    for attributes, private in [
        ([(0x2000, 0x1000), (0x1000, 0x1000)], ((0x1000, 0x2000),)),
        ([(0x2000, 0x2000), (0x9000, 0x1000)], ((0x2000, 0x2000), (0x9000, 0x1000))),
        ([], ()),
    ]:
        plan = vm.plan([], attributes=attributes)
        receipt = vm.submit([], attributes=attributes)
        assert receipt.attributes == plan.attributes and receipt.because == plan.because
        array = client.next_event(5).apply(array)
        assert array == vm.get() and array.attributes == private
    assert receipt.attributes == (
        memslots.AttributeChange(0x2000, 0x2000, False),
        memslots.AttributeChange(0x9000, 0x1000, False),
    )
    assert len(vm.get(generation=2).attributes) == 2


def test_a_memfd_of_ours_becomes_memory_of_the_vm(vm):
    memfd = os.memfd_create("rom", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, 8192)
    with pytest.raises(memslots.InvalidRequestError) as refused:
        vm.adopt_memory("rom", memfd)
    assert refused.value.path == "fd"
    fcntl.fcntl(memfd, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
    assert vm.adopt_memory("rom", memfd).size == 8192
    assert vm.adopt_memory("half", memfd, size=4096).size == 4096
    os.pwrite(memfd, b"shared", 0)
    os.close(memfd)
    with vm.map_memory("rom") as mapping:
        assert isinstance(mapping, mmap.mmap) and mapping[:6] == b"shared"


def test_what_is_no_back_end_is_refused(vm):
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(memslots.PrepareRejectedError, match="closed at"):
        vm.attach_observer("disk", ours.fileno(), memory=["ram"])
    ours.close()
    assert vm.observers() == ()
    with pytest.raises(memslots.NotFoundError, match="no observer"):
        vm.detach_observer("disk")


def test_an_array_with_faults_lists_each(vm):
    array = [Slot(1, 4096, memory="ram"), Slot(0x2000, 0, memory="ram", id=3)]
    with pytest.raises(memslots.InvalidArrayError) as refused:
        vm.submit(array)
    error = refused.value
    assert (error.code, error.kind, error.path) == (
        -32003,
        "misaligned-address",
        "slots[0].guestPhysicalAddress",
    )
    faults = [(v.kind, v.slot, v.index) for v in error.violations]
    assert faults == [("misaligned-address", None, 0), ("zero-size", 3, 1)]
    assert error.violations[0].errno == error.errno == 22 and "0x1" in str(error)
    assert "0x1" in error.violations[0].message and all(v.message for v in error.violations)


def test_errors_have_a_class_and_a_kind_each(client, vm):
    array = slots(1)
    cases = [
        (memslots.AlreadyExistsError, "vm-exists", lambda: client.create_vm("demo")),
        (memslots.NotFoundError, "unknown-vm", lambda: client.vm("nobody").get()),
        (memslots.NotFoundError, "unknown-memory", lambda: vm.export_memory("rom")),
        (memslots.NotFoundError, "unknown-generation", lambda: vm.get(generation=9)),
        (memslots.NotFoundError, "unmapped", lambda: vm.touch(1 << 40)),
        (
            memslots.GenerationConflictError,
            "generation-conflict",
            lambda: vm.submit(array, expected_generation=7),
        ),
        (memslots.WrongSlotError, "not-logging", lambda: vm.submit(array) and vm.dirty_log(0)),
        (memslots.NotFoundError, "unknown-slot", lambda: vm.dirty_log(9)),
        (memslots.MemoryInUseError, "memory-in-use", lambda: vm.destroy_memory("ram")),
        (
            memslots.LimitExceededError,
            "limit-exceeded",
            lambda: vm.submit([], quiesce_deadline=1e6),
        ),
        (memslots.InvalidRequestError, "invalid-params", lambda: vm.dirty_log(0, memory="ram")),
        (memslots.InvalidRequestError, "method-not-found", lambda: client.call("vm.nonesuch")),
    ]
    for kind_of_error, kind, request in cases:
        with pytest.raises(kind_of_error) as caught:
            request()
        assert caught.value.kind == kind, caught.value
    with pytest.raises(memslots.GenerationConflictError) as conflict:
        vm.submit([], expected_generation=7)
    assert conflict.value.generation == 1
    with pytest.raises(memslots.LimitExceededError) as limit:
        vm.submit([], quiesce_deadline=1e6)
    assert limit.value.limit == "quiesceDeadlineMs"


def test_a_failed_vm_shows_what_is_installed_until_it_is_recovered(vm):
    vm.submit(slots(2))
    vm.inject_fault(1, 12)
    vm.inject_fault(2, 5, times=2)
    with vm.events(timeout=5) as stream:
        with pytest.raises(memslots.VMFailedError) as failed:
            vm.submit([])
        event = stream.wait_for(events.Failed)
    assert failed.value.errno == 5 and (event.errno, event.undo_errno) == ("ENOMEM", "EIO")
    assert vm.get().installed and [slot.id for slot in vm.get()] == [1] == [
        slot.id for slot in event.slots
    ]
    vm.clear_faults()
    assert vm.recover() == 1 and not vm.get().installed and len(vm.get()) == 2


def test_a_block_destroys_what_it_created_and_nothing_else(client):
    with client.vm("demo", backend="simulated") as outer:
        assert outer.capabilities is not None
        with client.vm("demo") as inner:
            assert inner.capabilities is None
        assert [vm.name for vm in client.vms()] == ["demo"]
        outer.destroy()
    assert client.vms() == ()


def test_update_begins_again_after_a_conflict(vm):
    seen = []

    def change(array):
        seen.append(array.generation)
        if len(seen) == 1:
            vm.submit(slots(1))
        return [*array, *slots(1, first=1 << 30)]

    assert len(vm.update(change).operations) == 1
    assert seen == [0, 1] and [slot.guest_address for slot in vm.get()] == [0, 1 << 30]
    seen.clear()
    with pytest.raises(memslots.GenerationConflictError):
        vm.update(
            lambda array: vm.submit([]) and [] if array.slots else vm.submit(slots(1)).slots,
            attempts=2,
        )


def test_history_is_read_in_parts(vm):
    for count in [1, 2, 3, 4]:
        vm.submit(slots(count))
    assert [receipt.generation for receipt in vm.history()] == [1, 2, 3, 4]
    assert [receipt.generation for receipt in vm.history(last=2)] == [3, 4]
    assert [receipt.generation for receipt in vm.history(last=1, before=3)] == [2]


def test_survives_a_fault_over_the_daemon(vm):
    vm.submit(slots(2))
    before = vm.get()
    vm.assert_survives_fault(slots(3, size=0x8000), at=1)
    vm.assert_survives_fault(slots(3, size=0x8000))
    assert vm.get() == before
    with pytest.raises(AssertionError, match="there is no call 9: the change has 5 calls"):
        vm.assert_survives_fault(slots(3, size=0x8000), at=9)
    with pytest.raises(AssertionError, match="changes nothing"):
        vm.assert_survives_fault(before.slots)


def test_batch_and_notification(client):
    created, error = client.batch(
        [("vm.create", {"vm": "b", "backend": "simulated"}), ("vm.nonesuch", None)]
    )
    assert created["vm"] == "b" and error.kind == "method-not-found" and client.batch([]) == []
    client.call("memory.create", {"vm": "b", "memory": "m", "size": 4096, "backing": "memfd"})
    exported = client.call("memory.export", {"vm": "b", "memory": "m"}, timeout=20)
    assert exported["size"] == "0x1000" and os.fstat(exported["fds"][0]).st_size == 4096
    os.close(exported["fds"][0])
    client.notify("vm.destroy", {"vm": "b"})
    # Another VM's request may overtake it; this one's may not.
    with pytest.raises(memslots.NotFoundError):
        client.vm("b").get()
