"""Logs on stderr, one record a line as text or JSON, in which no token ever appears.

Redaction works on the finished text, so it does not matter whether a token came in a message,
in its arguments or in a traceback, nor whose library wrote it.
"""

import io
import json
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Collection
from types import TracebackType
from typing import TextIO

from bot.config import LogConfig

REDACTED = "[redacted]"
UNKNOWN_INTERACTION = 10062  # Discord's code

log = logging.getLogger(__name__)

_TOKENS = re.compile(
    r"""
      (?<=/webhooks/) (?P<webhook> \d+/) [^/\s?\#"'\\<>]+    # where an interaction's answers go
    | (?<=/interactions/) (?P<callback> \d+/) [^/\s?\#"'\\<>]+
    | (?P<field> \btoken \\?["']? \s*[:=]\s* \\?["']?) [\w.~+/=-]{16,}
    | (?P<header> \b(?:Bot|Bearer)\s+) [\w.~+/=-]{20,}
    | aW50ZXJhY3Rpb246 [\w+/=-]+                            # every interaction token begins so
    | \b [\w-]{23,28} \. [\w-]{6,7} \. [\w-]{27,}          # a bot token
    | \b hf_[A-Za-z0-9]{16,}                               # a Hugging Face token
    """,
    re.VERBOSE,
)


def _hidden(found: re.Match[str]) -> str:
    """What may be seen of a token's place, and REDACTED."""
    return (found[found.lastgroup] if found.lastgroup else "") + REDACTED


class Redactor:
    """Removes tokens: those that can be known by their form or place, and `secrets`."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = [secret for secret in secrets if secret]

    def __call__(self, text: str) -> str:
        """`text` with every token replaced."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _TOKENS.sub(_hidden, text)


class TextFormatter(logging.Formatter):
    """`2026-08-01 12:00:00.123 INFO bot.app: message`, a traceback below it."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.default_msec_format = "%s.%03d"
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The record as it may be seen."""
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and error with its traceback."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The record as it may be seen."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(
    config: LogConfig, *, secrets: Collection[str] = (), stream: TextIO | None = None
) -> None:
    """Write all logs of this process to `stream` (stderr), without `secrets`.

    `config.level` is for this project and discord.py; libraries below them are never heard
    under "info". Uncaught exceptions, of threads too, and Python's warnings become log records.
    """
    redact = Redactor(secrets)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(redact) if config.format == "json" else TextFormatter(redact)
    )
    handler.addFilter(_is_not_about_voice)
    handler.addFilter(_is_not_about_a_late_choice)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in ("bot", "pipelines", "discord"):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files: members are told
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def spell_out() -> None:
    """Have signs that stdout cannot take written by their names, as `\\N{CHECK MARK}`.

    A file or a pipe on Windows takes few; to print any other would end the command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="namereplace")  # stderr does the like by itself


def _is_not_about_voice(record: logging.LogRecord) -> bool:
    """discord.py warns of missing voice libraries, which this bot has no use for."""
    return not (record.name == "discord.client" and "voice will NOT" in record.msg)


def _is_not_about_a_late_choice(record: logging.LogRecord) -> bool:
    """Who types on before choices come has no use for them, and Discord takes them no more."""
    error = record.exc_info[1] if record.exc_info else None
    late = "autocomplete" in record.msg and getattr(error, "code", None) == UNKNOWN_INTERACTION
    return not (record.name == "discord.app_commands.tree" and late)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("uncaught exception", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        log.critical(
            "uncaught exception in thread %s",
            name,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )
