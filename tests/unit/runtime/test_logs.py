"""Lines of a log: their form, their bounds, and how repetition is told."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from towpath.runtime.logs import BoundedLog, OneLine, SameTraceback, configure_logging


def test_a_full_log_becomes_the_older_one_and_a_new_one_begins(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "part.log", 100)

    for number in range(100):
        log.write(f"line {number:04}")
    log.close()

    kept = (tmp_path / "part.log.1").read_text() + (tmp_path / "part.log").read_text()
    assert kept.endswith("line 0098\nline 0099\n")
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 2


def test_a_log_that_was_left_too_long_is_put_aside_at_the_next_line(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("x" * 500)

    log = BoundedLog(tmp_path / "part.log", 100)
    log.write("new")
    log.close()

    assert (tmp_path / "part.log").read_text() == "new\n"
    assert (tmp_path / "part.log.1").read_text() == "x" * 500


def test_a_line_larger_than_the_bound_is_kept_whole(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "part.log", 100)

    log.write("y" * 300)
    log.close()

    assert (tmp_path / "part.log").read_text() == "y" * 300 + "\n"


def lines_of(*errors: Exception) -> str:
    """What a logger with the filter writes of failures."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(SameTraceback())
    logger = logging.Logger("probe")
    logger.addHandler(handler)
    for error in errors:
        try:
            raise error
        except Exception:
            logger.exception("attempt failed")
    return written.getvalue()


def test_the_same_traceback_is_shown_once_and_then_told_in_a_line() -> None:
    written = lines_of(*(IndexError(f"number {number}") for number in range(50)))

    assert written.count("Traceback") == 1
    assert "attempt failed: IndexError: number 49 (traceback above)\n" in written
    assert len(written.splitlines()) < 60


def test_another_failure_keeps_its_traceback() -> None:
    assert lines_of(IndexError("one"), KeyError("two")).count("Traceback") == 2


def test_a_message_of_many_lines_becomes_one_when_it_is_repeated() -> None:
    written = lines_of(ValueError("a"), ValueError("b\nFAKE line\n" + "c" * 1000))

    told = written.splitlines()[-1]
    assert told.startswith("attempt failed: ValueError: b FAKE line ccc")
    assert len(told) < 400


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    record = logging.LogRecord("probe", logging.INFO, "", 0, "got %s", ("a\nFAKE\r\x1b[2J\u2028b",), None)

    assert OneLine("%(message)s").format(record) == "got a\\nFAKE\\r\\u001b[2J\\u2028b"


def test_every_line_begins_with_its_time_and_level() -> None:
    written = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        configure_logging("info", logging.StreamHandler(written))
        logging.getLogger("towpath.probe").info("hello")
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    time, level_name, name, message = written.getvalue().split()
    assert time.endswith("Z") and "T" in time
    assert (level_name, name, message) == ("INFO", "towpath.probe", "hello")
