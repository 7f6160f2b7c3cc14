"""Logging as pytest has it, whatever a test does to it."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_as_before() -> Iterator[None]:
    """Undo what `set_up_logging` does to this process."""
    loggers = [logging.getLogger(name) for name in (None, "bot", "pipelines", "discord")]
    levels = [logger.level for logger in loggers]
    handlers = loggers[0].handlers[:]
    hooks = sys.excepthook, threading.excepthook
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook = hooks
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
