"""build-wheel: its arguments, and what it refuses. (.ci/python installs what it builds.)"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from memslots import _library


def build(*arguments, **options):
    return subprocess.run(
        [REPOSITORY / "Sources/Bindings/python/build-wheel", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        **options,
    )


def test_help_is_printed_and_builds_nothing():
    done = build("--help")
    assert done.returncode == 0 and "--output FOLDER" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    "arguments, status, text",
    [
        (["--nonesuch"], 64, "no option --nonesuch"),
        (["--output"], 64, "--output needs a folder"),
        (["/nonexistent/libmemslots.so"], 1, "there is no library"),
        ([sys.executable], 1, "no libmemslots of interface 1"),
        ([str(REPOSITORY / "README.md")], 1, "no libmemslots of interface 1"),
    ],
)
def test_what_is_no_libmemslots_makes_no_wheel(arguments, status, text):
    done = build(*arguments)
    assert done.returncode == status and f"build-wheel: " in done.stderr and text in done.stderr
    assert "built" not in done.stdout


def test_the_wheel_goes_where_it_is_wanted(tmp_path):
    if shutil.which("auditwheel", path=os.path.join(sys.prefix, "bin")) is None:
        pytest.skip("no auditwheel in this environment")
    output = Path("out")  # relative to our folder, not to the script's
    done = build(
        "--output", output, _library.find_library(), cwd=tmp_path, env={**os.environ, "WHEEL_TOOLS": sys.prefix}
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / output).iterdir()
    assert done.stdout == f"built {wheel}\n" and wheel.suffix == ".whl"
