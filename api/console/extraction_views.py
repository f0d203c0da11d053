"""An extraction as pages show it: its document, and what was taken out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from towpath.api.http.state import AppState
from towpath.core.errors import NotFoundError
from towpath.core.json_values import write_json
from towpath.extraction.service.results import load_extraction
from towpath.extraction.types import Extraction, ExtractParams, FieldSource
from towpath.jobs.store.tables import JobRow

SURE = 0.8
"""Below that a value is marked as uncertain."""
MAX_VALUE = 300


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure a value is.

    Attributes:
        words: Such as `97 % sure`, or that it was not found.
        doubtful: Whether a person should look.
    """

    words: str
    doubtful: bool


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One extracted property."""

    name: str
    text: str
    sure: Sureness | None
    page: int | None


@dataclass(frozen=True, slots=True)
class ExtractionSummary:
    """A document and its fields."""

    extraction: Extraction
    facts: list[str]
    fields: list[FieldLine]


async def load_document_summary(state: AppState, job: JobRow) -> ExtractionSummary | None:
    """Return what a job's page shows of its document; None: nothing is stored of it."""
    try:
        extraction = await load_extraction(state.extraction, job)
    except NotFoundError:
        return None
    fields = list_field_lines(extraction, get_schema(job))
    return ExtractionSummary(extraction, describe_document(extraction, job.processed), fields)


def get_schema(job: JobRow) -> Mapping[str, Any] | None:
    """Return the schema of a job in the order in which it was written; None: it has none."""
    return ExtractParams.model_validate(job.params).schema_


def describe_document(extraction: Extraction, read: int) -> list[str]:
    """Describe kind, size and pages of a document in words.

    Args:
        read: How many of its pages are read.
    """
    opened = extraction.opened
    facts = [] if opened is None else [opened.kind.value.upper()]
    if extraction.size is not None:
        facts.append(format_size(extraction.size))
    if opened is not None:
        chosen = len(opened.pages)
        of_all = f" of {opened.pages_total:,}" if chosen != opened.pages_total else ""
        pages = "page" if chosen == 1 and not of_all else "pages"
        facts.append(f"{chosen:,}{of_all} {pages}, {min(read, chosen):,} read")
    return facts


def format_size(size: int) -> str:
    """Write a number of bytes in fitting units: `812 bytes`, `1.2 MB`."""
    if size < 1000:
        return f"{size} bytes"
    for unit, bytes_of in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if size < bytes_of * 999.5 or unit == "GB":
            break
    return f"{size / bytes_of:.3g} {unit}"


def list_field_lines(extraction: Extraction, schema: Mapping[str, Any] | None) -> list[FieldLine]:
    """Return the extracted properties in the schema's order, then others."""
    extracted = extraction.extracted
    if extracted is None:
        return []
    named = list((schema or {}).get("properties") or {})
    names = [*named, *(name for name in extracted.data if name not in named)]
    return [
        FieldLine(
            name=name,
            text=format_value(extracted.data[name]) if name in extracted.data else "",
            sure=describe_sureness(extracted.sources.get(name), known=name in extracted.data),
            page=extracted.sources[name].page if name in extracted.sources else None,
        )
        for name in names
    ]


def format_value(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else write_json(value).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def describe_sureness(source: FieldSource | None, *, known: bool) -> Sureness | None:
    """Say how sure a value is; None: nothing is known of that.

    Args:
        known: Whether there is a value.
    """
    if not known:
        return Sureness("not found", doubtful=True)
    if source is None:
        return None
    # What is just below the mark must not read as if it had reached it.
    return Sureness(f"{int(source.confidence * 100)} % sure", doubtful=source.confidence < SURE)
