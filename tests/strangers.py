"""Being a user who may not read what is locked: root, who may run the tests, reads everything."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


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
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
        path.chmod(before)
