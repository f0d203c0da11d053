"""How the processes of Towpath log: one form for all, no flood of the same traceback, files with a bound."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

FORM = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
DATES = "%Y-%m-%dT%H:%M:%S"
# One line for each call of a part that works is no news, and it holds the URL with its query.
QUIET = {"httpx": logging.WARNING, "httpx2": logging.WARNING, "alembic.runtime.plugins": logging.WARNING}
CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
ESCAPES = {code: f"\\u{code:04x}" for code in CONTROLS} | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\t"}
SAME_SECONDS = 600.0
MAX_KNOWN = 200

Failure = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logging(level: str, handler: logging.Handler | None = None) -> None:
    """Log in the one form.

    Args:
        level: debug, info, warning or error.
        handler: Where to; None: stderr, which a supervisor or a container's engine keeps.
    """
    handler = handler or logging.StreamHandler()
    formatter = OneLine(FORM, DATES)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(SameTraceback())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


class OneLine(logging.Formatter):
    """A message is one line, whatever strangers put into it; only a traceback has more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line, with everything escaped that could begin another one or move the cursor."""
        return super().formatMessage(record).translate(ESCAPES)


class SameTraceback(logging.Filter):
    """Shows a traceback once in ten minutes; the same failure again is a line, for a retry repeats it many times."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without its traceback if that was shown a moment ago."""
        failure = record.exc_info
        if not failure or failure[0] is None or failure[1] is None:
            return True
        kind, error, trace = failure
        key = (kind.__name__, _place(trace))
        now = time.monotonic()
        if now - self._shown.get(key, -SAME_SECONDS) < SAME_SECONDS:
            message = " ".join(str(error).split())[:300]
            record.msg, record.args = f"{record.getMessage()}: {kind.__name__}: {message} (traceback above)", ()
            record.exc_info = record.exc_text = None
            return True
        if len(self._shown) >= MAX_KNOWN:
            self._shown.clear()
        self._shown[key] = now
        return True


def _place(trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


class BoundedLog:
    """A log file that becomes `NAME.1` when it is full; the one before that is let go.

    Args:
        path: The file.
        most_bytes: How large it may grow.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most = most_bytes
        self._file: TextIO = self._open()

    def write(self, line: str) -> None:
        """Add a line."""
        if self._file.tell() + len(line) > self._most and self._file.tell():
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._open()
        self._file.write(f"{line}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> TextIO:
        return self._path.open("a", errors="replace")
