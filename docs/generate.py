"""Fill in what the documentation takes from the code.

A page holds prose and marked blocks: `<!-- generated: errors -->` ... `<!-- end -->`. `python -m docs.generate` (or
`make reference`) writes each block anew; with `--check` it only reports the pages that are out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from docs import meanings
from docs.permissions import collect_permissions, render_table
from towpath.ai.types import to_ai_state
from towpath.api.app import create_app
from towpath.cli import app as command_line
from towpath.core.errors import ErrorCode, TowpathError
from towpath.enrichment.types import STATUS_OF as ENRICHMENT_STATUS
from towpath.enrichment.types import LlmEvent
from towpath.entities.types import BATCH_STATUS
from towpath.features import register_features
from towpath.jobs.registry import job_types
from towpath.jobs.types import DELIVER, EventType, JobState, ReviewStatus, job_status
from towpath.runtime.settings import Settings
from towpath.vectors.types import task_status
from towpath.webhooks.types import DeliveryState, WebhookEvent

FOLDER = Path(__file__).parent
COMMAND = "python -m docs.generate"
BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
METHODS = ("get", "post", "put", "patch", "delete")
# Every operation can answer with these, so the tables leave them out.
COMMON_ANSWERS = frozenset({"400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "502", "503"})
UNITS = ((30, "GiB"), (20, "MiB"), (10, "KiB"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows as a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(word: object) -> str:
    return f"`{word}`"


def _assert_complete(what: str, known: Iterable[str], described: Iterable[str]) -> None:
    """Raise if a page would leave something out, or describe what the code no longer has.

    Raises:
        ValueError: The two differ.
    """
    missing, stale = set(known) - set(described), set(described) - set(known)
    if missing or stale:
        raise ValueError(f"docs/meanings.py, {what}: missing {sorted(missing)}, no longer in the code {sorted(stale)}")


def operations() -> str:
    """List every operation of the OpenAPI document, by tag."""
    application = create_app(Settings(docs_open=True))
    document = application.openapi()
    callers = collect_permissions(application)
    by_tag: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, item in document["paths"].items():
        for method in (method for method in METHODS if method in item):
            name = f"{method.upper()} {path}"
            by_tag.setdefault(item[method]["tags"][0], []).append(_operation(name, item[method], callers[name].words))
    parts = []
    for tag in document["tags"]:
        head = ("Operation", "Purpose", "Caller", "Answers")
        parts += [f"## {tag['name']}", tag["description"], table(head, by_tag.pop(tag["name"]))]
    if by_tag:
        raise ValueError(f"tags without a description in the OpenAPI document: {sorted(by_tag)}")
    return "\n\n".join(parts)


def roles() -> str:
    """Show who may call each operation."""
    return render_table(collect_permissions(create_app(Settings(docs_open=True))))


def _operation(name: str, operation: dict[str, Any], caller: str) -> tuple[str, str, str, str]:
    answers = sorted(status for status in operation["responses"] if status not in COMMON_ANSWERS)
    return _code(name), operation["summary"], caller, ", ".join(answers)


def errors() -> str:
    """List every error code, with its HTTP status and whether a retry can help."""
    _assert_complete("CODES", [code.value for code in ErrorCode], meanings.CODES)
    carriers: dict[ErrorCode, set[tuple[int, bool]]] = {}
    for error in _descendants(TowpathError):
        if error.status != TowpathError.status:
            carriers.setdefault(error.default_code, set()).add((error.status, error.retryable))
    rows = []
    for code in ErrorCode:
        raised = sorted(carriers.get(code, set()))
        statuses = dict.fromkeys([*(str(status) for status, _ in raised), *meanings.STATUSES.get(code.value, ())])
        retry = "yes" if any(retryable for _, retryable in raised) else ""
        rows.append((_code(code.value), ", ".join(statuses), retry, meanings.CODES[code.value]))
    return table(("Code", "Status", "Retry", "Meaning"), rows)


def _descendants(base: type[TowpathError]) -> Iterable[type[TowpathError]]:
    # Those of its own module: what other modules derive depends on what is imported.
    for child in base.__subclasses__():
        if child.__module__ == TowpathError.__module__:
            yield child
            yield from _descendants(child)


def job_events() -> str:
    """List the events that jobs of every kind have."""
    _assert_complete("EVENTS", [event.value for event in EventType], meanings.EVENTS)
    return table(("Event", "Data", "Meaning"), ((_code(event), *meanings.EVENTS[event.value]) for event in EventType))


def enrichment_events() -> str:
    """List the events of the enrichment API's stream."""
    _assert_complete("ENRICHMENT_EVENTS", [event.value for event in LlmEvent], meanings.ENRICHMENT_EVENTS)
    return table(("Event", "Meaning"), ((_code(event), meanings.ENRICHMENT_EVENTS[event.value]) for event in LlmEvent))


def webhook_events() -> str:
    """List the events of webhooks."""
    _assert_complete("WEBHOOK_EVENTS", [event.value for event in WebhookEvent], meanings.WEBHOOK_EVENTS)
    return table(("Event", "Meaning"), ((_code(event), meanings.WEBHOOK_EVENTS[event.value]) for event in WebhookEvent))


def statuses() -> str:
    """Show how each API words the state of a job, by the functions that it uses itself."""
    head = ("Job state", "Entities", "Embeddings", "Enrichment", "AI jobs", "Extraction and `GET /jobs`")
    rows = [(_code(state) + (" (final)" if state.final else ""), *_wordings(state)) for state in JobState]
    return table(head, rows)


def _wordings(state: JobState) -> tuple[str, ...]:
    vectors = {
        task_status(state, cancelling=cancelling, error=error)
        for cancelling in (False, not state.final)
        for error in (None, ErrorCode.REFUSED)
    }
    answers = {to_ai_state(state, phase) for phase in (None, DELIVER)}
    documents = {job_status(state, retrying=retrying) for retrying in (False, True)}
    return (
        _code(BATCH_STATUS[state]),
        _one_of(task_status(state, cancelling=False, error=None), vectors),
        _code(ENRICHMENT_STATUS[state]),
        _one_of(to_ai_state(state, None), answers),
        _one_of(job_status(state, retrying=False), documents),
    )


def _one_of(usual: str, words: Iterable[str]) -> str:
    return ", ".join([_code(usual), *(f"or {_code(word)}" for word in sorted(set(words) - {usual}))])


def job_kinds() -> str:
    """List the kinds of jobs, as their descriptors have them."""
    register_features()
    rows = (
        (
            _code(job_type.kind),
            job_type.title,
            _code(job_type.resource_path),
            ", ".join(sorted(map(_code, job_type.activities))),
        )
        for job_type in job_types()
    )
    return table(("Kind", "Title", "In its own API", "Queues of its activities"), rows)


def other_statuses() -> str:
    """List the statuses of reviews and deliveries."""
    lines = (("review", ReviewStatus), ("webhook delivery", DeliveryState))
    return "\n".join(f"- A {name} is {_any_of(words)}." for name, words in lines)


def _any_of(words: Iterable[object]) -> str:
    *first, last = map(_code, words)
    return f"{', '.join(first)} or {last}"


def settings() -> str:
    """List every setting with its default."""
    _assert_complete(
        "SETTINGS", Settings.model_fields, [name for names in meanings.SETTINGS.values() for name in names]
    )
    parts = []
    for title, names in meanings.SETTINGS.items():
        rows = [_setting(name, Settings.model_fields[name]) for name in names]
        parts += [f"## {title}", table(("Variable", "Default", "Meaning"), rows)]
    return "\n\n".join(parts)


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    return _code(f"TOWPATH_{name.upper()}"), _default(name, field), field.description or ""


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if value is None or value in ("", {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and "bytes" in name:
        return next(f"{value >> shift} {unit}" for shift, unit in UNITS if value >> shift)
    return f"{value:,}" if isinstance(value, int) else _code(value)


def commands() -> str:
    """Describe every command, as its `--help` does."""
    command = typer.main.get_command(command_line)
    context = typer.Context(command, info_name="towpath")
    text = get_docs_for_click(obj=command, ctx=context, name="towpath")
    return text.partition("\n")[2].strip()


def decisions() -> str:
    """List the decision records by number and title."""
    rows = []
    for path in sorted((FOLDER / "decisions").glob("[0-9]*.md")):
        number, _, title = path.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        rows.append((number, f"[{title}]({path.name})"))
    return table(("No.", "Decision"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "operations": operations,
    "roles": roles,
    "errors": errors,
    "job-events": job_events,
    "enrichment-events": enrichment_events,
    "webhook-events": webhook_events,
    "statuses": statuses,
    "job-kinds": job_kinds,
    "other-statuses": other_statuses,
    "settings": settings,
    "commands": commands,
    "decisions": decisions,
}


def stale_pages() -> dict[Path, str]:
    """Return the pages that differ from what the code says, each with the text that it should have.

    Raises:
        ValueError: A block is in no page.
    """
    used: set[str] = set()

    def fill(block: re.Match[str]) -> str:
        used.add(block["name"])
        return f"{block[1]}\n{BLOCKS[block['name']]()}\n\n{block[3]}"

    stale = {}
    for path in sorted(FOLDER.rglob("*.md")):
        page = path.read_text()
        filled = BLOCK.sub(fill, page)
        if filled != page:
            stale[path] = filled
    if missing := set(BLOCKS) - used:
        raise ValueError(f"no page has the block {', '.join(sorted(missing))}")
    return stale


def main() -> None:
    """Write the pages, or with `--check` report those that are out of date."""
    stale = stale_pages()
    check = "--check" in sys.argv[1:]
    for path, text in stale.items():
        name = path.relative_to(FOLDER.parent)
        if check:
            print(f"{name} is out of date: run `{COMMAND}`")
        else:
            path.write_text(text)
            print(name)
    sys.exit(check and bool(stale))


if __name__ == "__main__":
    main()
