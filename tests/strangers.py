"""Being a user who may not read what is locked: root, who may run the tests, reads everything."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def visible_folder() -> Iterator[Path]:
    """A folder for a test that anyone may look into; pytest's own are for whoever runs it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While this is entered, the process may neither read `path` nor look into it."""
    before = path.stat().st_mode
    path.chmod(0)
    try:
        with nobody():
            yield
    finally:
        path.chmod(before)


@contextmanager
def nobody() -> Iterator[None]:
    """While this is entered, a process of root's is one of a user who owns nothing."""
    if IS_ROOT:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if IS_ROOT:
            os.setresuid(0, 0, 0)
