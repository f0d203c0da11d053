"""A job's events as lines that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from towpath.core.json_values import write_json
from towpath.core.texts import shorten
from towpath.jobs.types import EventType, JobEvent

MAX_FACTS = 8
MAX_FACT = 160
MAX_DETAIL = 4000
TITLES: dict[str, str] = {
    EventType.CREATED: "Created",
    EventType.STARTED: "Started",
    EventType.PAUSED: "Paused",
    EventType.CONTINUED: "Continued",
    EventType.CANCELLING: "Cancel asked for",
    EventType.RESTARTED: "Next attempt",
    EventType.COMPLETED: "Completed",
    EventType.FAILED: "Failed",
    EventType.CANCELLED: "Cancelled",
}
MARKS: dict[str, str] = {
    EventType.COMPLETED: "good",
    EventType.FAILED: "bad",
    EventType.CANCELLED: "quiet",
    EventType.CANCELLING: "quiet",
    EventType.PAUSED: "warn",
    EventType.WARNING: "warn",
    EventType.PROVIDER_AWAY: "warn",
    EventType.ANSWERS_AWAITED: "small",
    EventType.PROGRESS: "small",
    EventType.RETRYING: "warn",
}
COUNTS = ("total", "processed", "succeeded", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Line:
    """One event.

    Attributes:
        title: What happened.
        words: More about it, in a few words.
        detail: All that the event says as JSON, where the words leave something out.
        mark: How it is marked beside its words: good, bad, warn, quiet, small, or plain.
    """

    event: JobEvent
    title: str
    words: str
    detail: str | None
    mark: str


def build_timeline(events: Sequence[JobEvent]) -> list[Line]:
    """Return events as lines, the newest first."""
    return [_line(event) for event in sorted(events, key=lambda event: -event.seq)]


def _line(event: JobEvent) -> Line:
    mark = MARKS.get(event.type, "plain")
    if event.type in DESCRIBE:
        return Line(event, *DESCRIBE[event.type](event.data), None, mark)
    if event.type in TITLES:
        return Line(event, TITLES[event.type], _end(event.data), None, mark)
    words, whole = _facts(event.data)
    return Line(event, _title(event.type), words, None if whole else _json(event.data), mark)


def _created(data: Mapping[str, Any]) -> tuple[str, str]:
    total = data.get("total")
    if not isinstance(total, int) or not total:
        return "Created", ""
    return "Created", "1 item" if total == 1 else f"{total:,} items"


def _retrying(data: Mapping[str, Any]) -> tuple[str, str]:
    title = f"Attempt {data.get('attempt', 1)} of {data.get('activity', '')} failed"
    return title, f"{data.get('code', '')}: {data.get('message', '')}"[:MAX_DETAIL]


def _title(name: str) -> str:
    return name.replace(".", " ").replace("_", " ").strip().capitalize()[:MAX_FACT]


def _progress(data: Mapping[str, Any]) -> tuple[str, str]:
    if message := data.get("message"):
        return f"Step {data.get('iteration', '')}".strip(), shorten(str(message), MAX_DETAIL)
    return f"Progress in {data['phase']}" if data.get("phase") else "Progress", _counts(data)


def _counts(data: Mapping[str, Any]) -> str:
    counts = {name: data[name] for name in COUNTS if isinstance(data.get(name), int)}
    words = []
    if counts.get("total"):
        words.append(f"{counts.get('processed', 0):,} of {counts['total']:,}")
    elif counts.get("processed"):
        # How many steps a question takes is not known before.
        words.append(f"{counts['processed']:,} done")
    words += [f"{counts[name]:,} {name}" for name in ("failed", "skipped") if counts.get(name)]
    return ", ".join(words)


def _warning(data: Mapping[str, Any]) -> tuple[str, str]:
    item = f"{data['item']}: " if data.get("item") else ""
    return "Warning", f"{item}{data.get('message', '')} ({data.get('code', '')})"[:MAX_DETAIL]


def _away(data: Mapping[str, Any]) -> tuple[str, str]:
    title = f"Waiting for {data.get('provider', 'a provider')}"
    return title, f"attempt {data.get('attempt', 1)}: {data.get('message', '')}"[:MAX_DETAIL]


def _awaited(data: Mapping[str, Any]) -> tuple[str, str]:
    counts = f"{data.get('answered', 0)} of {data.get('submitted', 0)} calls answered, {data.get('failed', 0)} not"
    return "Waiting for batches", f"{counts}; {data.get('open', 0)} batches are open"


def _execution(data: Mapping[str, Any]) -> tuple[str, str]:
    return f"Calls go {'through batches' if data.get('execution') == 'batch' else 'live'}", str(data.get("reason", ""))


def _end(data: Mapping[str, Any]) -> str:
    error = data.get("error")
    if isinstance(error, Mapping):
        code, message = error.get("code", ""), error.get("message", "")
        return shorten(f"{code}: {message}", MAX_DETAIL) if message else str(code)
    return _counts(data)


def _facts(data: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the plain values of an event, and whether that is all it says."""
    plain = {name: value for name, value in data.items() if isinstance(value, str | int | float) and value != ""}
    words = [f"{_title(name).lower()} {_value(value)}" for name, value in plain.items()][:MAX_FACTS]
    short = all(len(str(value)) <= MAX_FACT for value in plain.values())
    left = [value for name, value in data.items() if name not in plain and value not in (None, "", [], {})]
    return ", ".join(words), short and not left and len(plain) <= MAX_FACTS


def _value(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if len(text) <= MAX_FACT else f"{text[:MAX_FACT]}…"


def _json(data: Mapping[str, Any]) -> str:
    text = write_json(data, options=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}\n…"


DESCRIBE: dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    EventType.PROGRESS: _progress,
    EventType.PHASE: lambda data: (f"Phase {data.get('phase', '')}", ""),
    EventType.STARTED: lambda data: ("Started", f"attempt {data.get('attempt', 1)}"),
    EventType.CREATED: _created,
    EventType.RETRYING: _retrying,
    EventType.WARNING: _warning,
    EventType.PROVIDER_AWAY: _away,
    EventType.ANSWERS_AWAITED: _awaited,
    EventType.EXECUTION_SELECTED: _execution,
}
"""Functions that return the title and the words of an event, for events with words of their own."""
