"""The pytest plugin as a test engineer meets it: in a suite of its own."""

import time

import memslots
import pytest
from memslots import _library


def test_pytest_loads_it_by_itself(pytestconfig):
    assert pytestconfig.pluginmanager.get_plugin("memslots") is memslots.pytest_plugin


def test_the_fixtures_of_a_suite(pytester):
    pytester.makepyfile(
        """
        import memslots
        import pytest

        RAM = memslots.Slot(guest_address=0, size=0x200000, user_address=0x7f0000000000)

        def test_table(memslot_vm):
            memslot_vm.submit([RAM])
            memslot_vm.assert_survives_fault(RAM.split(0xa0000), at=1)

        def test_a_table_each(memslot_vm):
            assert memslot_vm.generation == 0

        @pytest.mark.memslotd("--max-vms", "1")
        def test_daemon(memslot_daemon):
            client = memslot_daemon.client
            assert client.info().limits["vmsPerPeer"] == 1
            with client.vm("demo", backend="simulated"), pytest.raises(memslots.LimitExceededError):
                client.create_vm("another", backend="simulated")

        def test_fails(memslot_vm):
            memslot_vm.assert_survives_fault([RAM], at=5)
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "-v")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["E*AssertionError: there is no call 5: the change has 1 calls, from 0"]
    )
    # The traceback ends in the test, not in the package.
    assert "_faults.py" not in result.stdout.str()


def test_the_log_of_a_failed_test_is_shown(pytester):
    pytester.makepyfile("def test_daemon(memslot_daemon):\n    assert False")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*memslotd's log*"])


@pytest.fixture
def suite_of_all(pytester, monkeypatch):
    pytester.makepyfile(
        """
        def test_vm(memslot_vm): pass
        def test_daemon(memslot_daemon): pass
        def test_run(memslot_run): memslot_run("true")
        """
    )
    monkeypatch.setenv("MEMSLOTS_LIBRARY", "/nonexistent/libmemslots.so")
    monkeypatch.setenv("MEMSLOTD", "/nonexistent/memslotd")
    monkeypatch.setenv("MEMSLOTCTL", "/nonexistent/memslotctl")
    return pytester


def test_what_is_missing_is_skipped_by_name(suite_of_all, monkeypatch):
    monkeypatch.delenv("MEMSLOTS_REQUIRE", raising=False)
    result = suite_of_all.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED*no libmemslots: *",
            "SKIPPED*no memslotd: *MEMSLOTD=/nonexistent*",
            "SKIPPED*no memslotctl: *",
        ]
    )


def test_what_is_required_may_not_be_missing(suite_of_all, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_REQUIRE", "1")
    outcomes = suite_of_all.runpytest_subprocess().parseoutcomes()
    assert "passed" not in outcomes and "skipped" not in outcomes


@pytest.fixture
def suite_without_kvm(pytester):
    pytester.makeconftest("import memslots.kvm; memslots.kvm.DEVICE = '/nonexistent/kvm'")
    pytester.makepyfile(
        """
        import sys

        def test_table(memslot_kvm_vm): pass
        def test_fails(memslot_run): memslot_run("/bin/false")
        def test_other(memslot_run): memslot_run(sys.executable, "-c", "open('ran', 'w')")
        """
    )
    return pytester


def test_what_needs_kvm_is_skipped_where_it_does_not_open(suite_without_kvm, monkeypatch):
    monkeypatch.delenv("MEMSLOTS_REQUIRE", raising=False)
    result = suite_without_kvm.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines_random(
        ["SKIPPED*no /nonexistent/kvm: *No such file*", "SKIPPED*no /nonexistent/kvm: *no report*"]
    )
    assert (suite_without_kvm.path / "ran").exists()


def test_kvm_may_not_be_missing_where_it_is_required(suite_without_kvm, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_REQUIRE", "1")
    outcomes = suite_without_kvm.runpytest_subprocess().parseoutcomes()
    assert "passed" not in outcomes and "skipped" not in outcomes


def test_a_run_that_fails_where_kvm_opens_fails(pytester, kvm_vm, monkeypatch):
    monkeypatch.delenv("MEMSLOTS_REQUIRE", raising=False)
    pytester.makepyfile('def test_fails(memslot_run): memslot_run("/bin/false")')
    pytester.runpytest_subprocess().assert_outcomes(failed=1)


def test_a_table_on_kvm(memslot_kvm_vm):
    with memslots.kvm.HostMemory(4096) as memory:
        memslot_kvm_vm.submit([memslots.Slot(0, 4096, memory.address)])
        assert not memslot_kvm_vm.is_simulated and len(memslot_kvm_vm.get()) == 1
        memslot_kvm_vm.submit([])


def test_a_daemon_that_does_not_start_says_why_at_once(memslot_daemon):
    begin = time.monotonic()
    with pytest.raises(memslots.ProgramFailedError, match="(?s)does not listen.*nonesuch"):
        with memslots.Daemon("--nonesuch", program=memslot_daemon.program):
            pass
    assert time.monotonic() - begin < 5


def test_the_package_carries_its_library():
    """The tests are about the wheel, unless a library is named."""
    import os
    from pathlib import Path

    if os.environ.get("MEMSLOTS_LIBRARY"):
        pytest.skip("MEMSLOTS_LIBRARY names a library")
    assert Path(_library.library().path).parent == Path(memslots.__file__).parent / "_lib"
