"""What is there, for the user that the bot runs as: what that may not see is not missing."""

import errno
import os
import stat
from pathlib import Path


def nearest(folder: Path) -> Path:
    """A folder itself, or the first above it that is there and may be seen; else the last."""
    above = folder.absolute().parents
    there = (path for path in (folder, *above) if os.access(path, os.F_OK))
    return next(there, Path(folder.absolute().anchor))  # of a drive that is gone


def require_visible(folder: Path) -> None:
    """Raise PermissionError where a folder may not be looked into. One that is not there may be."""
    try:
        mode = folder.stat().st_mode
    except PermissionError:
        raise
    except OSError:
        return
    if stat.S_ISDIR(mode) and not os.access(folder, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
