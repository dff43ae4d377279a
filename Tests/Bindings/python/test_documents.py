"""What is written: the code of the README files runs, and each public name is documented."""

import inspect
import os
import re
import sys

import memslots
from conftest import REPOSITORY


def blocks(path):
    return re.findall(
        r"^```python\n(.*?)^```$", (REPOSITORY / path).read_text(), re.DOTALL | re.MULTILINE
    )


def test_the_code_of_the_readme_runs(memslot_daemon, monkeypatch, capsys):
    monkeypatch.setenv("MEMSLOTS_SOCKET", memslot_daemon.socket)
    shown = blocks("README.md")
    assert len(shown) == 2
    for code in shown:
        assert len(code.strip().splitlines()) <= 15
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    for line in capsys.readouterr().out.splitlines():
        assert line in "\n".join(shown), "the README shows what it prints"


def test_the_suite_of_the_packages_readme_passes(pytester, vmm, kvm_vm):
    code = "\n".join(
        block for block in blocks("Sources/Bindings/python/README.md") if "def test_" in block
    )
    pytester.makepyfile(code.replace('"my-vmm"', f'"{sys.executable}", "{vmm}"'))
    count = code.count("def test_")
    assert count >= 4
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=count)


def public():
    """Each public name with its object."""
    for name in memslots.__all__:
        value = getattr(memslots, name)
        yield name, value
        members = vars(value).items() if inspect.isclass(value) or inspect.ismodule(value) else []
        for member, inner in members:
            ours = (getattr(inner, "__module__", "") or "").startswith("memslots") or isinstance(
                inner, property
            )
            if not member.startswith("_") and ours and not isinstance(inner, (str, int)):
                yield f"{name}.{member}", inner


def test_each_public_name_is_documented():
    checked = 0
    for name, value in public():
        if inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, property):
            checked += 1
            text = inspect.getdoc(value) or ""
            # A dataclass without a docstring gets its signature for one.
            assert text and not text.startswith(name.split(".")[-1] + "("), (
                f"{name} has no docstring"
            )
    assert checked > 200


def test_the_types_are_marked():
    assert os.path.exists(os.path.join(os.path.dirname(memslots.__file__), "py.typed"))
