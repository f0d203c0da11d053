"""The review of an extraction as its page shows it: form, doubts, document, what was said before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from towpath.accounts.service.users import get_names
from towpath.accounts.types import Principal
from towpath.api.console.extraction_views import Sureness, describe_sureness, format_value, get_schema
from towpath.api.console.job_words import JobLine, job_line
from towpath.api.console.review_form import FormMaker, Node, join_pointer
from towpath.api.console.sheets import LOADED_AT_FIRST, Sheet, find_first_marks, list_page_numbers, read_sheets
from towpath.api.http.state import AppState
from towpath.core.errors import NotFoundError
from towpath.extraction.domain.shapes import find_changes
from towpath.extraction.service.results import load_extraction
from towpath.extraction.service.reviews import list_corrections, load_review_history
from towpath.extraction.types import EXTRACTION, Annotation, Extracted, Extraction
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import ReviewStatus

NOTE_WORDS: dict[ReviewStatus, str] = {
    ReviewStatus.PENDING: "Review asked for",
    ReviewStatus.APPROVED: "Approved",
    ReviewStatus.REJECTED: "Rejected",
    ReviewStatus.CANCELLED: "Review withdrawn",
}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An extraction with the newest correction of it.

    Attributes:
        schema: What the data look like.
        annotation: The newest correction.
    """

    job: JobRow
    extraction: Extraction
    schema: Mapping[str, Any] | None
    annotation: Annotation | None

    @property
    def data(self) -> dict[str, Any] | None:
        """Return the corrected data, or what was extracted; None: nothing was."""
        if self.annotation is not None:
            return self.annotation.annotated
        return None if self.extraction.extracted is None else self.extraction.extracted.data

    @property
    def version(self) -> str:
        """Return which correction the form was made of, so that nobody overwrites another's unseen."""
        return "" if self.annotation is None else f"{self.annotation.id} {self.annotation.updated_at.isoformat()}"

    @property
    def pending(self) -> bool:
        """Return whether it can be decided."""
        return self.job.review_status == ReviewStatus.PENDING


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of a property beside its value.

    Attributes:
        mark: The id of its first mark on a page.
        was: What was extracted, where a person has corrected it.
    """

    sure: Sureness | None
    page: int | None
    mark: str | None
    was: str | None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """What somebody decided or corrected."""

    at: datetime
    title: str
    by: str | None
    comment: str | None
    changes: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class ReviewView:
    """Everything on the page.

    Attributes:
        form: None: there is nothing to correct.
        doubts: By the name of a field in the form.
    """

    line: JobLine
    reviewed: Reviewed
    form: Node | None
    doubts: dict[str, Doubt]
    sheets: list[Sheet]
    history: list[HistoryLine]

    @property
    def uncertain(self) -> int:
        """Return how many fields a person should look at."""
        return sum(1 for doubt in self.doubts.values() if doubt.sure is not None and doubt.sure.doubtful)


async def load_reviewed(state: AppState, caller: Principal, job_id: UUID) -> Reviewed:
    """Load an extraction, to be reviewed.

    Raises:
        NotFoundError: It is not there, not to be seen, or a job of another kind.
    """
    job = await state.jobs.find(caller, job_id)
    if job.kind != EXTRACTION:
        raise NotFoundError("this job has no document")
    extraction = await load_extraction(state.extraction, job)
    schema = get_schema(job)
    annotations = await list_corrections(state.extraction, job)
    return Reviewed(job, extraction, schema, annotations[-1] if annotations else None)


def make_form(reviewed: Reviewed) -> Node | None:
    """Make the form with the present data in it; None: there is nothing to correct."""
    if reviewed.data is None or reviewed.schema is None:
        return None
    return FormMaker(reviewed.schema).of_data(reviewed.data)


async def load_review_view(state: AppState, reviewed: Reviewed, form: Node | None, *, page: int = 1) -> ReviewView:
    """Load the parts of the page.

    Args:
        state: The parts that routes use.
        reviewed: What is reviewed.
        form: As it was sent, or with the present data in it.
        page: The page of the document whose words are there from the start, with the first ones.
    """
    numbers = list_page_numbers(reviewed.extraction)
    loaded = {*numbers[:LOADED_AT_FIRST], page}
    organization = reviewed.job.organization
    return ReviewView(
        line=job_line(reviewed.job),
        reviewed=reviewed,
        form=form,
        doubts=list_doubts(reviewed),
        sheets=await read_sheets(state, organization, reviewed.job.id, reviewed.extraction, loaded),
        history=await _load_history(state, reviewed.job),
    )


def list_doubts(reviewed: Reviewed) -> dict[str, Doubt]:
    """Return what is known of each property beside its value."""
    extracted = reviewed.extraction.extracted
    if extracted is None:
        return {}
    data = reviewed.data or {}
    first = find_first_marks(reviewed.extraction)
    names = dict.fromkeys([*((reviewed.schema or {}).get("properties") or {}), *extracted.data])
    return {join_pointer("", name): _doubt(extracted, data, name, first.get(name)) for name in names}


def _doubt(extracted: Extracted, data: Mapping[str, Any], name: str, mark: str | None) -> Doubt:
    was = _was(extracted.data, data, name)
    source = extracted.sources.get(name)
    sure = (
        describe_sureness(source, known=name in extracted.data)
        if was is None
        else Sureness("corrected", doubtful=False)
    )
    return Doubt(sure=sure, page=None if source is None else source.page, mark=mark, was=was)


def _was(extracted: Mapping[str, Any], data: Mapping[str, Any], name: str) -> str | None:
    if not find_changes({name: extracted.get(name)}, {name: data.get(name)}):
        return None
    return format_value(extracted[name]) if name in extracted else "not found"


async def _load_history(state: AppState, job: JobRow) -> list[HistoryLine]:
    notes, revisions = await load_review_history(state.extraction, job)
    people = {note.by for note in notes if note.by} | {revision["by"] for revision in revisions if revision["by"]}
    names = await get_names(state.accounts, job.organization, people)
    lines = [
        HistoryLine(note.at, NOTE_WORDS[note.status], names.get(note.by) if note.by else None, note.comment, [])
        for note in notes
    ]
    for revision in revisions:
        changes = [
            (change["path"], format_or_nothing(change["from"]), format_or_nothing(change["to"]))
            for change in revision["changes"]
        ]
        name = names.get(revision["by"]) if revision["by"] else None
        lines.append(HistoryLine(revision["at"], "Corrected", name, None, changes))
    return sorted(lines, key=lambda line: line.at, reverse=True)


def format_or_nothing(value: Any) -> str:
    """Write a value of a change; a missing one as `nothing`."""
    return "nothing" if value is None else format_value(value)
