"""What compiling needs is looked for where torch does, and named with its remedy."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from pipelines import compilers
from pipelines.compilers import lacking


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One with Triton, and nothing else: compilers and headers may be put into its folder."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compilers, "find_spec", lambda name: object())
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def install(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    assert shutil.which(name)


def test_a_card_needs_a_c_compiler_and_the_headers_of_python(machine: Path) -> None:
    assert lacking("cuda") == "a C compiler is missing: `apt install gcc`"
    install(machine, "clang")
    assert lacking("cuda") == "Python's headers are missing: `apt install python3-dev`"
    (machine / "Python.h").touch()
    assert lacking("cuda") is None


def test_a_card_needs_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "find_spec", lambda name: None)
    assert str(lacking("cuda")).startswith("Triton is missing")


def test_the_compiler_may_be_named_in_the_environment(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "Python.h").touch()
    monkeypatch.setenv("CC", "zcc")
    install(machine, "gcc")
    assert lacking("cuda") is not None
    install(machine, "zcc")
    assert lacking("cuda") is None


def test_a_cpu_needs_one_for_c_plus_plus_and_a_mac_none(machine: Path) -> None:
    assert lacking("cpu") == "a C++ compiler is missing: `apt install g++`"
    assert lacking("mps") is None
    install(machine, "g++")
    assert lacking("cpu") is None
