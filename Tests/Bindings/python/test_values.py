"""Values: slots, arrays, flags, errors; and that a daemon and a table refuse alike."""

import errno
import inspect

import memslots
import pytest
from memslots import Flags, Slot, Snapshot, Table, events

BASE = 0x7F0000000000
RAM = Slot(0, 4096, BASE)


@pytest.fixture(params=["table", "daemon"])
def either(request):
    """A `Table`, then a daemon's VM, both without slots."""
    if request.param == "table":
        yield request.getfixturevalue("memslot_vm")
        return
    with request.getfixturevalue("client").create_vm("either", backend="simulated") as vm:
        yield vm


def refused(function, *arguments, **options):
    """What tells an error apart: its class, its kind, its errno."""
    with pytest.raises(memslots.MemslotsError) as caught:
        function(*arguments, **options)
    error = caught.value
    assert str(error)
    return type(error), error.kind, error.errno


@pytest.mark.parametrize("flags", [64, Flags(64) | Flags.READONLY, Flags(8) | Flags.LOG_DIRTY_PAGES])
def test_a_flag_without_a_name_is_refused_and_not_dropped(either, flags):
    array = [RAM, RAM.replace(guest_address=4096, id=7, flags=flags)]
    for function in [either.submit, either.plan]:
        expected = (memslots.InvalidArrayError, "unsupported-flag", errno.EINVAL)
        assert refused(function, array) == expected
    with pytest.raises(memslots.InvalidArrayError, match=r"slots\[1\]: no flag has the bits 0x") as caught:
        either.submit(array)
    assert caught.value.path == "slots[1].flags" and caught.value.slot == 7
    assert caught.value.violations[0].index == 1
    assert either.generation == 0


def test_flags_without_a_name_have_no_names():
    with pytest.raises(memslots.InvalidRequestError, match="0x40; the flags are log-dirty-pages,"):
        Flags(64 | 2).names
    for value in [Slot(0, 4096, BASE, flags=Flags(64)), memslots.SimulatorLimits(flags=Flags(64))]:
        with pytest.raises(memslots.InvalidRequestError):
            value.to_wire()
    assert "flags=readonly|0x40)" in repr(RAM.replace(flags=Flags(64 | 2)))


@pytest.mark.parametrize("same", [
    lambda vm: refused(vm.submit, [Slot(0, 4096)])
    == (memslots.InvalidArrayError, "backing-missing", None),
    lambda vm: refused(vm.submit, [RAM.replace(guest_address=-1)])[0] is memslots.InvalidRequestError,
    lambda vm: refused(vm.submit, [RAM], quiesce_deadline=-1)[0] is memslots.InvalidRequestError,
    lambda vm: refused(vm.submit, [RAM], quiesce_deadline=float("nan"))[0]
    is memslots.InvalidRequestError,
    lambda vm: refused(vm.submit, [RAM], quiesce_deadline=float("inf"))[0]
    is memslots.InvalidRequestError,
    lambda vm: refused(vm.submit, [RAM], expected_generation=-1)[0] is memslots.InvalidRequestError,
    lambda vm: refused(vm.inject_fault, 0, 0)[0] is memslots.InvalidRequestError,
    lambda vm: refused(vm.inject_fault, 0, "ENONESUCH")[0] is memslots.InvalidRequestError,
    lambda vm: refused(vm.touch, 1 << 40) == (memslots.NotFoundError, "unmapped", None),
    lambda vm: refused(vm.dirty_log, 9) == (memslots.NotFoundError, "unknown-slot", None),
    lambda vm: vm.submit([RAM.replace(id=0)])
    and refused(vm.dirty_log, 0) == (memslots.WrongSlotError, "not-logging", None),
])
def test_a_daemon_and_a_table_refuse_alike(either, same):
    assert same(either)


def test_a_path_is_that_of_the_first_fault(either):
    with pytest.raises(memslots.InvalidArrayError) as caught:
        either.submit([RAM, Slot(1 << 20, 4097, BASE, id=5)])
    assert (caught.value.path, caught.value.slot) == ("slots[1].size", 5)
    with pytest.raises(memslots.InvalidRequestError) as caught:
        either.submit([RAM.replace(guest_address=-1)])
    assert caught.value.path == "slots[0].guestPhysicalAddress"


def test_a_wrong_type_is_a_type_error(either):
    for wrong in [["x"], [RAM, None], None, [RAM.replace(flags="readonly")]]:
        with pytest.raises(TypeError):
            either.submit(wrong)
    with pytest.raises(TypeError, match="errno is a number or a name"):
        either.inject_fault(0, errno=None)
    assert either.generation == 0


def test_a_tables_wrong_type_is_named(memslot_vm):
    with pytest.raises(TypeError, match=r"slots\[0\].guest_address is an integer, not '0x0'"):
        memslot_vm.submit([Slot("0x0", 4096, BASE)])
    with pytest.raises(TypeError):
        Table.kvm("vm")


def test_an_injected_errno_may_be_a_name(either):
    either.submit([RAM])
    either.inject_fault(0, "ENOSPC")
    with pytest.raises(memslots.RolledBackError) as caught:
        either.submit([])
    assert caught.value.errno == errno.ENOSPC


def test_arguments_that_this_package_refuses():
    for function in [
        lambda: RAM.key,
        lambda: RAM.split(5),
        lambda: Flags.from_names(["x"]),
        lambda: memslots.kvm.HostMemory(5),
    ]:
        assert refused(function) == (memslots.InvalidRequestError, "bad-argument", None)
        with pytest.raises(ValueError):
            function()


def test_an_array_finds_its_slots():
    count = 200
    array = Snapshot(
        1,
        tuple(
            RAM.replace(id=index, guest_address=(count - index) << 20, address_space=space)
            for space in range(2)
            for index in range(count)
        ),
    )
    for slot in array:
        assert array.get(slot.id, slot.address_space) is slot
        assert array.at(slot.guest_address, slot.address_space) is slot
        assert array.at(slot.end - 1, slot.address_space) is slot
        assert array.at(slot.end, slot.address_space) is None
    assert array[5].address_space == 0 and array.get(count) is None and array.get(0, 2) is None
    assert array.at(0) is None and array.at(0, 9) is None
    with pytest.raises(KeyError):
        array[count]
    same = Snapshot(1, array.slots)
    assert same == array and hash(same) == hash(array) and repr(same) == repr(array)


def test_a_lookup_does_not_search(monkeypatch):
    """Not timed: the members that lookups read are counted."""
    array = Snapshot(1, tuple(RAM.replace(id=i, guest_address=i << 20) for i in range(1000)))
    array[0], array.at(0)
    read = []
    monkeypatch.setattr(Slot, "key", property(lambda slot: read.append(slot) or (0, slot.id)))
    contains = Slot.__contains__
    monkeypatch.setattr(Slot, "__contains__", lambda slot, a: read.append(slot) or contains(slot, a))
    assert all(array[i].id == i and array.at(i << 20).id == i for i in range(1000))
    assert len(read) == 1000


def test_reprs_have_addresses_in_hexadecimal(memslot_vm):
    receipt = memslot_vm.submit([RAM.replace(guest_address=0xA0000)])
    assert repr(receipt.operations[0]).startswith(
        "Operation(kind='create', slot=0, guest_address=0xa0000, after=Slot("
    )
    place = "Place(guest_address=0xa0004, slot=0, size=0xffc, user_address=0x7f0000000004)"
    assert repr(memslot_vm.translate(0xA0004)) == place
    hole = memslots.Hole(0xA0000, 0x1000, "hole", "out", "same", 1, 2, (3, 4))
    assert "guest_address=0xa0000, size=0x1000, verdict='hole'" in repr(hole)
    assert "guest_address='0x0'" in repr(Slot("0x0", 4096))
    assert str(receipt) == "generation 1 committed by 1 call"
    held = memslot_vm.submit([RAM], always_quiesce=True)
    assert str(held).startswith("generation 2 committed by 1 call; vCPUs were held for ")
    assert str(memslot_vm.submit([RAM])) == "generation 2 unchanged"


def test_frozen_values_can_be_hashed(client):
    with client.create_vm("demo", backend="simulated") as vm, vm.events(timeout=10) as stream:
        vm.submit([RAM])
        event = stream.wait_for(events.Committed)
    info, metrics = client.info(), client.metrics()
    assert len({event, event, info, info, metrics, metrics, metrics.vms}) == 4
    assert hash(memslots.StateInfo("files", ({"vm": "a"},), (), ()))


def test_modules_export_what_is_theirs():
    for module in [memslots.events, memslots.kvm]:
        for name in module.__all__:
            assert getattr(module, name).__module__ == module.__name__
        classes = [v for v in vars(module).values() if inspect.isclass(v)]
        ours = {c.__name__ for c in classes if c.__module__ == module.__name__}
        assert ours <= set(module.__all__)
