"""Reports: of logs, of runs, and what their assertions find."""

import json
import os
import shutil
import subprocess
import sys

import memslots
import pytest
from conftest import REPOSITORY
from memslots import Report

TRACES = REPOSITORY / "Fixtures/traces"


@pytest.fixture
def boot():
    """The report on a boot of QEMU, recorded by strace."""
    try:
        return Report.read(TRACES / "q35-seabios-boot.txt")
    except memslots.ProgramNotFoundError as error:
        pytest.skip(f"no memslotctl: {error}")


def report(holes=(), unknown=()):
    """A small report."""
    transaction = {
        "thread": 1,
        "what": "",
        "guest": "unknown",
        "removed": [],
        "added": [],
        "calls": [[1, 0, 5, "set 0"]],
    }
    return Report.from_json(
        {
            "report": 1,
            "headline": "the headline",
            "unknownBecause": list(unknown),
            "machines": ["m"],
            "missingBytes": "0x0",
            "removedBytes": "0x0",
            "failures": [],
            "findings": [],
            "holds": [],
            "notes": [],
            "transactions": [{**transaction, "holes": list(holes)}],
        }
    )


def hole(verdict, guest="unknown"):
    return {
        "start": "a0000",
        "size": "1000",
        "lines": [1, 2],
        "certain": 1,
        "atMost": None,
        "backing": "same",
        "verdict": verdict,
        "guest": guest,
    }


def test_a_log_of_strace(boot):
    assert (
        boot.missing_bytes == 0x10020000
        and "256.1 MiB" in boot.headline
        and boot.exit_status is None
    )
    assert (
        len(boot.holes) > 10 and boot.holes[0].guest_address == 0 and boot.holes[0].size == 0xA0000
    )
    assert boot.transactions[0].added[0].user_address == 0x7FF797E00000
    assert boot.transactions[0].added[1].flags == memslots.Flags.READONLY
    with pytest.raises(
        AssertionError, match="0x0-0x9ffff was missing for at most 3557.0 µs, lines 26-27"
    ):
        boot.assert_no_hole()
    with pytest.raises(
        AssertionError, match=f"{len(boot.calls)} slot calls, at most 20 expected:\n  0: set 0"
    ):
        boot.assert_calls_at_most(20)
    boot.assert_calls_at_most(len(boot.calls))
    boot.assert_no_failed_call()


def test_each_kind_of_log_of_the_fixtures_is_read(boot):
    read = 0
    for path in sorted(TRACES.glob("*.txt")):
        data = Report.read(path).data
        assert data["report"] == 1, path
        read += 1
    assert read >= 3


def test_no_hole_means_neither_hole_nor_unclear_nor_unknown():
    report().assert_no_hole()
    for verdict in ["hole", "unclear"]:
        with pytest.raises(
            AssertionError,
            match=f"the headline\n  0xa0000-0xa0fff was missing for an unknown time.*{verdict}",
        ):
            report([hole(verdict)]).assert_no_hole()
        with pytest.raises(AssertionError):
            report([hole(verdict)]).assert_no_hole(allow_unknown=True, allow_unseen=True)
        report([hole(verdict, "out")]).assert_no_hole(allow_unseen=True)
    with pytest.raises(AssertionError, match="guest: 2 of these 3; allow_unseen=True permits them"):
        report([hole("hole", "out"), hole("hole"), hole("unclear", "out")]).assert_no_hole()
    with pytest.raises(AssertionError) as seen:
        report([hole("hole", "out"), hole("hole")]).assert_no_hole(allow_unseen=True)
    assert "unseen" not in str(seen.value) and str(seen.value).count("\n") == 1
    with pytest.raises(AssertionError, match="unknown because a line was cut"):
        report(unknown=["a line was cut"]).assert_no_hole()
    report(unknown=["a line was cut"]).assert_no_hole(allow_unknown=True)


def test_findings_and_refused_calls_fail():
    data = dict(report().data)
    data["findings"] = [
        {"vm": 0, "severity": "warning", "kind": "shared-host-memory", "text": "two slots"}
    ]
    data["failures"] = [
        {
            "line": 3,
            "at": 1,
            "thread": 1,
            "errno": "EEXIST",
            "call": "set 1",
            "text": "EEXIST: it overlaps",
        }
    ]
    made = Report.from_json(data)
    made.assert_no_finding()
    with pytest.raises(AssertionError, match="warning: two slots"):
        made.assert_no_finding("warning")
    with pytest.raises(AssertionError, match="line 3: set 1: EEXIST: it overlaps"):
        made.assert_no_failed_call()
    with pytest.raises(memslots.InvalidRequestError, match="error, warning or hint, not 'nonsense'"):
        made.assert_no_finding("nonsense")
    assert (made.failures[0].errno, made.failures[0].errno_number) == ("EEXIST", 17)
    with pytest.raises(memslots.InvalidRequestError, match="form 2"):
        Report.from_json({"report": 2})


def test_an_unreadable_log(boot, tmp_path):
    with pytest.raises(memslots.ProgramFailedError, match="none.txt"):
        Report.read(tmp_path / "none.txt")


def test_a_run_of_a_vmm(memslot_run, kvm_vm, vmm):
    made = memslot_run(sys.executable, vmm)
    assert (made.exit_status, made.stdout, made.missing_bytes) == (0, "done\n", 1 << 20)
    assert [(h.guest_address, h.size, h.verdict, h.backing) for h in made.holes] == [
        (0, 0x80000, "hole", "same"),
        (0x80000, 0x80000, "hole", "same"),
    ]
    with pytest.raises(AssertionError, match="0x80000-0xfffff"):
        made.assert_no_hole()
    assert str(made).startswith(made.headline) and "hint: slots 0 and 1 are adjacent" in str(made)
    made.assert_calls_at_most(4)
    made.assert_no_finding()
    with pytest.raises(AssertionError):
        made.assert_calls_at_most(3)
    assert (
        "holes" in made.page.read_text()
        and json.loads(made.record.read_text().splitlines()[0])["scenario"]
    )
    assert Report.read(made.record).missing_bytes == made.missing_bytes


def test_a_run_with_atomic_has_no_hole(memslot_run, kvm_vm, vmm):
    made = memslot_run(sys.executable, vmm, atomic=True)
    assert made.exit_status == 0 and made.holds  # several, where the machine is busy
    made.assert_no_hole()
    made.assert_calls_at_most(2)


def test_qemu_under_atomic_has_holes_that_no_vcpu_can_see(memslot_run, kvm_vm):
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("no qemu-system-x86_64")
    options = "-accel kvm -machine q35 -m 256 -nic none -display none -boot reboot-timeout=1 -no-reboot"
    made = memslot_run(qemu, *options.split(), atomic=True, timeout=120)
    with pytest.raises(AssertionError, match="of these .*; allow_unseen=True permits them"):
        made.assert_no_hole()
    made.assert_no_hole(allow_unseen=True)


def test_a_run_without_a_vm(memslot_run):
    with pytest.raises(ValueError, match="name the VMM"):
        memslot_run()
    with pytest.raises(
        memslots.ProgramFailedError, match="exit status 1: .*no slot call was recorded"
    ):
        memslot_run("/bin/false")
    with pytest.raises(memslots.ProgramFailedError, match="exit status 2: .*ENOENT"):
        memslot_run("/nonexistent/vmm")


def test_a_refused_call_is_explained(memslot_run, kvm_vm, vmm):
    made = memslot_run(sys.executable, vmm, "--overlap")
    assert made.calls[-1] == "set 1" and made.failures[0].rule == "overlap"
    with pytest.raises(AssertionError, match="EEXIST: 0x0-0xfff of slot 2 overlaps slot 0"):
        made.assert_no_failed_call()


def test_a_vmm_that_does_not_end_is_killed(memslot_run, kvm_vm, tmp_path):
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(subprocess.TimeoutExpired):
        memslot_run(sys.executable, "-c", script, tmp_path / "pid", timeout=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
