"""Table on the simulator: libmemslots by ctypes."""

import copy
import ctypes
import errno
import gc
import pickle
import re
import threading

import memslots
import pytest
from conftest import REPOSITORY
from memslots import Flags, Slot, Table, _library

RAM = Slot(guest_address=0, size=0x200000, user_address=0x7F0000000000, id=0)


def test_structures_and_functions_are_those_of_the_header():
    """Against the header by name, and against the C compiler by offset where there is one."""
    header = (REPOSITORY / "Sources/Bindings/CMemslots/include/memslots.h").read_text()
    declared = set(
        re.findall(r"\b(memslots_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S))
    )
    # Back ends are for VMMs, which are not written in Python.
    unused = {name for name in declared if name.startswith("memslots_back_end_")}
    unused |= {"memslots_view_translate_bulk", "memslots_abi_"}
    special = {
        "memslots_code_name",
        "memslots_error_message",
        "memslots_error_errno",
        "memslots_receipt_warning",
        "memslots_receipt_reader",
        "memslots_receipt_hold_reason",
        "memslots_receipt_release",
    }
    assert declared - unused == set(_library._FUNCTIONS) | special

    import shutil
    import subprocess
    import tempfile

    if shutil.which("cc") is None:
        pytest.skip("no cc: offsets are not compared")
    names = {
        "CSlot": "slot",
        "CViolation": "violation",
        "CSimulatorOptions": "simulator_options",
        "CKVMOptions": "kvm_options",
        "CCapabilities": "capabilities",
        "CSubmitOptions": "submit_options",
        "CReceipt": "receipt",
        "COperation": "operation",
        "CDirtyRun": "dirty_run",
        "CSpan": "span",
        "CView": "view",
        "CVCPUOptions": "vcpu_options",
        "CChange": "change",
        "CHookFunctions": "hook_functions",
        "CEvent": "event",
    }
    lines, expected = [], []
    for python, c in names.items():
        structure = getattr(_library, python)
        lines.append(f'printf("{c} %zu\\n", sizeof(memslots_{c}));')
        expected.append(f"{c} {ctypes.sizeof(structure)}")
        for member, *_ in structure._fields_:
            lines.append(f'printf("{c}.{member} %zu\\n", offsetof(memslots_{c}, {member}));')
            expected.append(f"{c}.{member} {getattr(structure, member).offset}")
    with tempfile.TemporaryDirectory() as directory:
        source = f"{directory}/layout.c"
        with open(source, "w") as file:
            file.write(
                "#include <stdio.h>\n#include <memslots.h>\nint main(void) {"
                + "".join(lines)
                + "return 0; }"
            )
        include = REPOSITORY / "Sources/Bindings/CMemslots/include"
        subprocess.run(
            [
                "cc",
                "-DMEMSLOTS_NO_ABI_REFERENCE",
                f"-I{include}",
                source,
                "-o",
                f"{directory}/layout",
            ],
            check=True,
        )
        printed = subprocess.run(
            [f"{directory}/layout"], check=True, capture_output=True, text=True
        ).stdout
    assert printed.splitlines() == expected


def test_submit_returns_a_receipt(memslot_vm):
    first = memslot_vm.submit([RAM])
    assert (first.generation, first.outcome, first.committed, first.retired) == (
        1,
        "committed",
        True,
        True,
    )
    assert first.slots == (RAM,) and first.diff.added == ((0, 0),)
    receipt = memslot_vm.submit(
        RAM.split(0xA0000, 0xC0000), always_quiesce=True, quiesce_deadline=0.5
    )
    assert [operation.kind for operation in receipt.operations] == [
        "delete",
        "create",
        "create",
        "create",
    ]
    assert receipt.diff == memslots.Diff(added=((0, 0), (0, 1), (0, 2)), removed=((0, 0),))
    assert (
        receipt.quiesced
        and receipt.because == "overlap"
        and receipt.optimal
        and receipt.durations.total >= receipt.durations.blackout
    )
    assert memslot_vm.plan([]).quiesced and not memslot_vm.plan([], continuity=True).quiesced
    receipt.assert_calls_at_most(4)
    with pytest.raises(
        AssertionError, match=r"4 calls, at most 3 expected:\n  0: delete slot 0 at 0x0"
    ):
        receipt.assert_calls_at_most(3)
    again = memslot_vm.submit(memslot_vm.get())
    assert again.outcome == "unchanged" and again.operations == () and memslot_vm.generation == 2


def test_private_ranges(memslot_vm):
    assert memslot_vm.capabilities.memory_attributes
    receipt = memslot_vm.submit([RAM], attributes=[(0x3000, 0x1000), (0x1000, 0x2000)])
    assert receipt.because == "several-visible-changes"
    assert memslot_vm.get().attributes == ((0x1000, 0x3000),)
    assert memslot_vm.submit([RAM]).outcome == "unchanged"
    with pytest.raises(memslots.InvalidArrayError) as error:
        memslot_vm.submit([RAM], attributes=[(0, 0x1000), (0, 0x1000)])
    assert error.value.violations[0].path == "attributes[1].guest_physical_address"
    with pytest.raises(ValueError, match="attributes"):
        memslot_vm.plan([RAM], attributes=[(-1, 0x1000)])
    assert memslot_vm.submit([], attributes=[]).committed and memslot_vm.get().attributes == ()


def test_a_deadline_is_not_negative(memslot_vm):
    with pytest.raises(ValueError, match="at least 0"):
        memslot_vm.submit([RAM], quiesce_deadline=-0.5)
    assert memslot_vm.generation == 0


def test_moved_and_reflagged_slots(memslot_vm):
    memslot_vm.submit([RAM, RAM.replace(id=1, guest_address=1 << 30, user_address=0x7F1000000000)])
    array = memslot_vm.get()
    moved = memslot_vm.submit(
        [array[0].replace(guest_address=1 << 30), array[1].replace(guest_address=0)]
    )
    assert moved.diff == memslots.Diff(moved=((0, 0), (0, 1)))
    flagged = memslot_vm.submit(
        [slot.replace(flags=Flags.LOG_DIRTY_PAGES) for slot in memslot_vm.get()]
    )
    assert flagged.diff == memslots.Diff(reflagged=((0, 0), (0, 1)))
    move = memslot_vm.plan(
        [memslot_vm.get()[0].replace(guest_address=1 << 32), memslot_vm.get()[1]]
    )
    assert str(move.operations[0]) == f"move slot 0 from {1 << 30:#x} to {1 << 32:#x}"
    assert memslot_vm.generation == 3


def test_errors_are_the_daemons_classes(memslot_vm):
    with pytest.raises(memslots.InvalidArrayError) as invalid:
        memslot_vm.submit([RAM, RAM.replace(id=1)])
    error = invalid.value
    assert (error.code, error.kind, error.violations[0].kind) == (-1, "overlap", "overlap")
    assert (
        error.violations[0].errno,
        error.violations[0].index,
        error.violations[0].other_index,
    ) == (errno.EEXIST, 1, 0)
    with pytest.raises(memslots.GenerationConflictError):
        memslot_vm.submit([RAM], expected_generation=3)
    with pytest.raises(memslots.NotFoundError):
        memslot_vm.dirty_log(5)
    with pytest.raises(memslots.NotFoundError):
        memslot_vm.touch(0)
    memslot_vm.submit([RAM.replace(flags=Flags.READONLY)])
    with pytest.raises(memslots.WrongSlotError):
        memslot_vm.touch(0)
    with pytest.raises(memslots.InvalidRequestError):
        Table.simulator(max_slots=1 << 30)
    with pytest.raises(memslots.SystemCallError):
        Table.kvm(0)
    for slot, text in [
        (Slot(0, 4096), r"slots\[0\]: user_address is missing"),
        (Slot(0, 4096, memory="ram"), "a daemon's"),
        (Slot(1 << 64, 4096, 0), r"slots\[0\].guest_address can't be"),
        (RAM.replace(id=-1), "id can't be -1"),
        (RAM.replace(guest_memfd="name"), "a descriptor, not a name"),
    ]:
        with pytest.raises(ValueError, match=text) as refused:
            memslot_vm.submit([slot])
        assert isinstance(refused.value, memslots.MemslotsError)
    with pytest.raises(ValueError, match="expected_generation"):
        memslot_vm.submit([], expected_generation=-1)


def test_a_closed_table(memslot_vm):
    memslot_vm.close()
    memslot_vm.close()
    with pytest.raises(memslots.ClosedError):
        memslot_vm.get()
    assert repr(memslot_vm) == "<closed Table on a simulated VM>"


class Nothing(memslots.HookFunctions):
    pass


def test_what_has_a_handle_is_not_copied(memslot_vm, memslot_daemon):
    reader, hook = memslot_vm.reader(), memslot_vm.hook(Nothing())
    observation = memslot_vm.observe(print)
    with reader.enter() as view:
        for original in [memslot_vm, reader, view, hook, observation, memslots.VCPU(0), memslot_daemon]:
            for copied in [copy.copy, copy.deepcopy, pickle.dumps]:
                with pytest.raises(TypeError, match=f"a {type(original).__name__} can't be copied"):
                    copied(original)
    gc.collect()
    assert memslot_vm.submit([RAM]).committed and memslot_daemon.client.vms() == ()
    assert repr(reader) == "<open Reader>" and repr(memslots.VCPU(0)) == "<closed VCPU>"
    reader.close()
    assert repr(reader) == "<closed Reader>"


def test_a_table_that_nobody_closed_is_freed():
    tables = [Table.simulator() for _ in range(3)]
    handle = tables[0]._handle
    tables.clear()
    gc.collect()
    with pytest.raises(memslots.ClosedError):
        Table(handle, True).get()


def test_survives_a_fault_at_each_call(memslot_vm):
    memslot_vm.submit([RAM])
    before = memslot_vm.get()
    memslot_vm.assert_survives_fault(RAM.split(0xA0000), at=2)
    memslot_vm.assert_survives_fault(RAM.split(0xA0000), errno=errno.EIO)
    assert memslot_vm.get() == before and memslot_vm.installed() == before.slots
    memslot_vm.assert_survives_fault(RAM.split(0xA0000), at=range(0, 3, 2), errno="EAGAIN")
    with pytest.raises(AssertionError, match="there is no call 3"):
        memslot_vm.assert_survives_fault(RAM.split(0xA0000), at=[0, 3])
    with pytest.raises(AssertionError, match="names no call"):
        memslot_vm.assert_survives_fault(RAM.split(0xA0000), at=[])
    # No fault stays armed.
    assert memslot_vm.submit(RAM.split(0xA0000)).committed


def test_survives_a_fault_fails_when_it_must(memslot_vm, monkeypatch):
    memslot_vm.submit([RAM])
    array = RAM.split(0xA0000)
    with pytest.raises(AssertionError, match="there is no call 3: the change has 3 calls"):
        memslot_vm.assert_survives_fault(array, at=3)
    with pytest.raises(AssertionError, match="changes nothing"):
        memslot_vm.assert_survives_fault([RAM])
    with monkeypatch.context() as patch:
        patch.setattr(memslot_vm, "inject_fault", lambda *_: None)
        with pytest.raises(AssertionError, match="the submit succeeded all the same"):
            memslot_vm.assert_survives_fault(array, at=1)
    memslot_vm.submit([RAM])
    with monkeypatch.context() as patch:
        patch.setattr(memslot_vm, "installed", lambda: ())
        with pytest.raises(AssertionError, match="the simulated kernel should be as before"):
            memslot_vm.assert_survives_fault(array, at=0)
    real = memslot_vm.inject_fault

    def also_the_undo(operation, number, times=1):
        real(operation, number)
        real(operation + 1, number)

    with monkeypatch.context() as patch:
        patch.setattr(memslot_vm, "inject_fault", also_the_undo)
        with pytest.raises(AssertionError, match="the undo failed too"):
            memslot_vm.assert_survives_fault(array, at=1)
    assert memslot_vm.failure() == ()
    assert memslot_vm.recover() == 3 and memslot_vm.failure() is None
    with monkeypatch.context() as patch:
        patch.setattr(
            memslot_vm, "inject_fault", lambda operation, number: real(operation, errno.EIO)
        )
        with pytest.raises(AssertionError, match="but the error has EIO"):
            memslot_vm.assert_survives_fault(array, at=1)


def test_dirty_pages_are_read_cleared_and_carried(memslot_vm):
    memslot_vm.submit([RAM.replace(flags=Flags.LOG_DIRTY_PAGES)])
    memslot_vm.touch(0x3FFF, 2)
    memslot_vm.touch(0x1FF000)
    assert list(memslot_vm.dirty_log(0)) == [3, 4, 511]
    assert (
        list(memslot_vm.dirty_log(0, first_page=448)) == [511]
        and memslot_vm.dirty_log(0, first_page=512).pages == 0
    )
    part = memslot_vm.dirty_log(0, page_count=4, clear=True)
    assert list(part) == [3] and part.pages == 4 and len(part.bitmap) == 1
    low, high = RAM.replace(flags=Flags.LOG_DIRTY_PAGES).split(0x100000)
    memslot_vm.submit([low, high])
    assert list(memslot_vm.dirty_log(0)) == [4] and list(memslot_vm.dirty_log(1)) == [255]
    receipt = memslot_vm.submit([])
    assert [(run.slot, run.first_page, run.page_count) for run in receipt.dirty] == [
        (0, 4, 1),
        (1, 255, 1),
    ]
    assert receipt.because == "log-ends"


def test_readers_see_one_array(memslot_vm):
    memslot_vm.submit(RAM.split(0x100000))
    with memslot_vm.reader("device") as reader, reader.enter() as view:
        places = view.translate(0xFFFF0, 0x20)
        assert [(p.guest_address, p.size, p.slot) for p in places] == [
            (0xFFFF0, 16, 0),
            (0x100000, 16, 1),
        ]
        assert places[1].user_address == RAM.user_address + 0x100000 and view.generation == 1
        with pytest.raises(memslots.NotFoundError):
            view.translate(0x1FFFF0, 0x20)
        with pytest.raises(memslots.ClosedError):
            with reader.enter():
                pass
        results = []
        thread = threading.Thread(
            target=lambda: results.append(memslot_vm.submit([], quiesce_deadline=0.01))
        )
        thread.start()
        thread.join(20)
        assert results[0].committed and not results[0].retired and results[0].readers == ("device",)
        assert len(view.translate(0, 16)) == 1
    assert memslot_vm.translate(0) is None
    with pytest.raises(memslots.ClosedError):
        view.translate(0, 16)


def test_hooks_veto_and_follow(memslot_vm):
    class Device(memslots.HookFunctions):
        def __init__(self):
            self.calls, self.limit = [], 1 << 32

        def prepare(self, change):
            if change.after and change.after.end > self.limit:
                raise ValueError("the device can't reach it")
            self.calls.append(("prepare", change.kind.name))

        def commit(self, change):
            self.calls.append(("commit", change.after.id if change.after else None))

        def finish(self, change):
            self.calls.append(("finish", change.kind.name))

        def abort(self, change):
            self.calls.append(("abort", change.kind.name))

    device = Device()
    with memslot_vm.hook(device, name="vhost-net"):
        memslot_vm.submit([RAM])
        assert device.calls == [("prepare", "ADDED"), ("commit", 0), ("finish", "ADDED")]
        device.calls.clear()
        with pytest.raises(
            memslots.PrepareRejectedError, match="vhost-net.*the device can't reach it"
        ):
            memslot_vm.submit([RAM, RAM.replace(id=1, guest_address=1 << 40)])
        device.calls.clear()
        memslot_vm.inject_fault(0)
        with pytest.raises(memslots.RolledBackError):
            memslot_vm.submit([])
        assert device.calls == [("prepare", "REMOVED"), ("abort", "REMOVED")]
    device.calls.clear()
    memslot_vm.submit([])
    assert device.calls == []


def test_a_hook_may_read_but_not_submit(memslot_vm):
    class Bad(memslots.HookFunctions):
        def prepare(self, change):
            assert memslot_vm.get().slots == ()
            memslot_vm.submit([])

    with memslot_vm.hook(Bad()), pytest.raises(memslots.PrepareRejectedError):
        memslot_vm.submit([RAM])


def test_observers(memslot_vm):
    seen = []
    with memslot_vm.observe(seen.append) as observation:
        assert observation.generation == 0
        memslot_vm.submit([RAM])
        memslot_vm.inject_fault(0, errno.EIO)
        with pytest.raises(memslots.RolledBackError):
            memslot_vm.submit([])
    memslot_vm.submit([])
    kinds = memslots.TableEventKind
    assert [(e.kind, e.generation, e.errno) for e in seen] == [
        (kinds.COMMITTED, 1, None),
        (kinds.ROLLED_BACK, 1, errno.EIO),
    ]


def test_an_observer_that_raises_does_not_stop_the_submit(memslot_vm, capsys):
    with memslot_vm.observe(lambda event: 1 // 0):
        assert memslot_vm.submit([RAM]).committed
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_guarded_code_holds_a_transaction_off(memslot_vm):
    asked = threading.Event()

    def body():
        with pytest.raises(memslots.ReentrantError):
            memslot_vm.submit([RAM])
        thread.start()
        assert asked.wait(20)
        return "done"

    thread = threading.Thread(
        target=lambda: memslot_vm.submit([RAM], always_quiesce=True, quiesce_deadline=20)
    )
    assert memslot_vm.guarded(body, kick=asked.set) == "done"
    thread.join(20)
    assert memslot_vm.generation == 1
    with pytest.raises(ZeroDivisionError):
        memslot_vm.guarded(lambda: 1 // 0)


def test_threads_compare_and_swap(memslot_vm):
    def add(number):
        for index in range(20):
            start = (number * 20 + index) << 21
            new = Slot(start, RAM.size, RAM.user_address + start)
            memslot_vm.update(lambda array, new=new: [*array, new], attempts=1000)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert memslot_vm.generation == 80 and len(memslot_vm.get()) == 80


def test_limits_of_a_simulator():
    with Table.simulator(
        max_slots=2, address_spaces=2, guest_physical_bits=36, flags=Flags(7)
    ) as table:
        capabilities = table.capabilities
        assert (capabilities.max_slots, capabilities.address_spaces, capabilities.flags) == (
            2,
            2,
            7,
        )
        assert capabilities.guest_physical_bits == 36
        table.submit([RAM, RAM.replace(address_space=1)])
        assert table.get().get(0, 1) == RAM.replace(address_space=1)
        assert table.translate(0, address_space=1).address_space == 1


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(_library, "_loaded", None)
    monkeypatch.setenv("MEMSLOTS_LIBRARY", "/nonexistent/libmemslots.so")
    with pytest.raises(memslots.LibraryNotFoundError, match="/nonexistent/libmemslots.so"):
        Table.simulator()
    monkeypatch.setenv("MEMSLOTS_LIBRARY", "libc.so.6")
    with pytest.raises(memslots.LibraryNotFoundError, match="memslots_abi_1"):
        Table.simulator()
