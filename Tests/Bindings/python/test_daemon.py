"""memslotd as a child process: it ends, however its owner does."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import memslots
import pytest
from memslots import Daemon


def is_alive(pid):
    try:
        return b"memslotd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_second_start_is_refused_and_the_first_goes_on(memslot_daemon):
    pid = memslot_daemon.client.info().pid
    with pytest.raises(memslots.AlreadyExistsError, match=f"already, as process {pid}") as refused:
        memslot_daemon.start()
    assert refused.value.kind == "already-running"
    assert memslot_daemon.client.info().pid == pid == memslot_daemon.process.pid
    os.kill(pid, signal.SIGKILL)  # It may be started again when it ended by itself.
    memslot_daemon.process.wait(20)
    memslot_daemon.start()
    memslot_daemon.client.reconnect()
    assert memslot_daemon.client.info().pid != pid


def test_a_daemon_that_nobody_closed_ends_with_its_object():
    daemon = Daemon()
    daemon.start()
    pid, directory = daemon.client.info().pid, daemon.directory
    assert is_alive(pid)
    del daemon
    gc.collect()
    assert not is_alive(pid) and not os.path.exists(directory)
    directory = Daemon().directory
    gc.collect()
    assert not os.path.exists(directory)


@pytest.mark.parametrize("end", ["pass", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_daemon_ends_with_its_interpreter(end):
    program = (
        "import memslots; daemon = memslots.Daemon(); daemon.start();"
        f"print(daemon.process.pid, daemon.directory, flush=True); {end}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid, directory = done.stdout.split()
    wait_until(lambda: not is_alive(pid) and not os.path.exists(directory))


def test_a_child_by_fork_leaves_the_daemon_to_its_parent():
    program = """if True:
        import os, sys, memslots
        with memslots.Daemon() as daemon:
            client = daemon.client
            child = os.fork()
            if child == 0:
                sys.exit()  # with all that an interpreter does at its end
            os.waitpid(child, 0)
            print(client.info().pid == daemon.process.pid)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_after_the_block():
    with Daemon() as daemon:
        assert f"process {daemon.process.pid}" in repr(daemon)
        daemon.stop()
        assert "stopped" in repr(daemon) and daemon.log
    assert daemon.log and "closed" in repr(daemon) and not os.path.exists(daemon.directory)
    daemon.close()
    assert daemon.log
    with pytest.raises(memslots.ClosedError):
        daemon.start()


def test_a_program_that_is_not_there():
    with pytest.raises(memslots.ProgramNotFoundError, match="/nonexistent"):
        Daemon(program="/nonexistent")
    assert Daemon().log == ""
