"""What the user that the bot runs as may not see, and would seem to be missing or damaged."""

import errno
import os
import stat
from pathlib import Path


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
