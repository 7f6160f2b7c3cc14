"""What torch compiles networks with, and pip does not bring. No torch."""

import os
import shutil
import sysconfig
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


def lacking(kind: str) -> str | None:
    """What compiling for a device of this kind needs and is not here, and the remedy; else None.

    For cards Triton builds its launchers in C, against Python
    (https://github.com/triton-lang/triton/blob/main/python/triton/runtime/build.py); for a CPU
    torch compiles in C++.
    """
    if kind == "cpu" and not _is_there("CXX", ("g++", "clang++")):
        return "a C++ compiler is missing: `apt install g++`"
    if kind != "cuda":
        return None
    if find_spec("triton") is None:
        return "Triton is missing, which torch brings on Linux alone"
    if not _is_there("CC", ("gcc", "clang")):
        return "a C compiler is missing: `apt install gcc`"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are missing: `apt install python3-dev`"
    return None


def _is_there(variable: str, names: Iterable[str]) -> bool:
    """Whether a compiler is: the one that the environment names, or any of these."""
    named = os.environ.get(variable)
    return any(map(shutil.which, [named] if named else names))
